/** The commands in fenced blocks of Markdown pages, and what the pages say that they print. Pure. */

export interface ConsoleStep {
  /** As a shell takes it, of several lines where they are continued. */
  command: string;
  /** Lines as the page has them; `…` stands for any text, and alone for any lines. */
  output: string[];
}

/** @param language  the word after the fence */
export function fencedBlocks(markdown: string, language: string): string[] {
  return [...markdown.matchAll(/^```(\w*)\n(.*?)^```$/gms)].flatMap(([, word, text = ""]) =>
    word === language ? [text] : [],
  );
}

/** The commands of `console` blocks, after `$ `, each with its output up to the next one. */
export function consoleSteps(markdown: string): ConsoleStep[] {
  const steps: ConsoleStep[] = [];
  for (const block of fencedBlocks(markdown, "console")) {
    let current: ConsoleStep | undefined;
    for (const line of block.replace(/\n$/, "").split("\n")) {
      if (line.startsWith("$ ")) {
        current = { command: line.slice(2), output: [] };
        steps.push(current);
      } else if (current !== undefined && isContinued(current.command)) current.command += `\n${line}`;
      else current?.output.push(line);
    }
  }
  return steps;
}

/** The commands of `sh` blocks, without comments. */
export function shellCommands(markdown: string): string[] {
  return fencedBlocks(markdown, "sh").flatMap((block) => {
    const commands: string[] = [];
    for (const line of block.split("\n")) {
      const last = commands.at(-1);
      if (last !== undefined && isContinued(last)) commands[commands.length - 1] = `${last}\n${line}`;
      else if (line.trim() !== "" && !line.startsWith("#")) commands.push(line);
    }
    return commands;
  });
}

function isContinued(command: string): boolean {
  return /[\\|]$|&&$/.test(command.trimEnd());
}

/**
 * Words as a shell splits them, command by command: quotes, comments, and the ends at `|`, `&&`, `;` and a line's end.
 * Redirections are left out, `$(…)` and `$NAME` stay as they are.
 */
export function shellWords(text: string): string[][] {
  const commands: string[][] = [[]];
  const joined = text.replaceAll(/\\\n/g, " ").replaceAll(/(^|\s)#.*$/gm, "$1");
  for (const [token, separator, redirection] of joined.matchAll(
    /(\|\|?|&&|;|\n)|([<>]+ *\S+)|(?:'[^']*'|"(?:[^"\\]|\\.)*"|\$\([^)]*\)|\\.|[^\s'"|;&<>\\])+/g,
  )) {
    if (separator !== undefined) commands.push([]);
    else if (redirection === undefined) commands.at(-1)?.push(unquote(token));
  }
  return commands.filter((words) => words.length > 0);
}

function unquote(token: string): string {
  return token.replaceAll(
    /'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)/g,
    (_, single, double, escaped) => single ?? double ?? escaped,
  );
}
