/** `postern completion SHELL`: prints the script that makes a shell ask `postern complete -- WORDS`. */
import { defineCommand, UsageError } from "../command-line/command.ts";

const shells = ["bash", "zsh", "fish"];

export const command = defineCommand({
  usage: "bash|zsh|fish",
  details: "bash needs the package bash-completion. 'postern' must be on the PATH.",
  options: {},
  positionals: { min: 1, max: 1, choices: shells },
  examples: [
    ["bash, in ~/.bashrc", "completion bash > ~/.local/share/bash-completion/completions/postern"],
    ["zsh, into a directory of $fpath", "completion zsh > ~/.zfunc/_postern"],
    ["fish", "completion fish > ~/.config/fish/completions/postern.fish"],
  ],
  async run({ stdout }, _, [shell = ""]) {
    if (!shells.includes(shell))
      throw new UsageError(`knows no shell '${shell}', only: ${shells.join(", ")}`);
    const { script } = await import("@bomb.sh/tab");
    stdout.write(printed(() => script(shell, "postern", "postern")));
    return 0;
  },
});

/** What a function of the package prints: it has no other way to return it. */
export function printed(print: () => void): string {
  const lines: string[] = [];
  const { log } = console;
  console.log = (line: string) => void lines.push(`${line}\n`);
  try {
    print();
  } finally {
    console.log = log;
  }
  return lines.join("");
}
