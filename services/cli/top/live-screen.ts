/**
 * Draws a screen again and again until a person ends it. It owns the state of the terminal while it runs: the alternate
 * screen, the hidden cursor and unbuffered keys, all restored before it returns or throws.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Output } from "../command-line/command.ts";

/** The keys of a person; `process.stdin` is one. */
export type Keyboard = NodeJS.ReadableStream & {
  isTTY?: boolean;
  setRawMode?(isRaw: boolean): unknown;
};

/** A screen; `process.stdout` is one. A terminal that is resized says so. */
export type Screen = Output & {
  on?(event: "resize", listener: () => void): unknown;
  off?(event: "resize", listener: () => void): unknown;
};

export interface LiveScreen {
  screen: Screen;
  keyboard: Keyboard;
  everyMs: number;
  /** The lines of the screen now, each no wider than the terminal; aborted when nobody waits for them any more. */
  lines(signal: AbortSignal): Promise<readonly string[]>;
  /** Waits; an aborted signal ends it early. The clock, unless a test passes its own. */
  wait?(ms: number, signal: AbortSignal): Promise<void>;
}

const enterScreen = "\u001b[?1049h\u001b[?25l";
const leaveScreen = "\u001b[?25h\u001b[?1049l";
const home = "\u001b[H";
const clearLine = "\u001b[K";
const clearBelow = "\u001b[J";

/** `q`, Ctrl-C and Ctrl-D; the latter two are keys while keys are unbuffered. */
const endKeys = ["q", "Q", "\u0003", "\u0004"];
const suspendKey = "\u001a";

/**
 * Returns after `q`, Ctrl-C, SIGINT or SIGTERM. Another key draws at once, and so does a new size of the terminal.
 * @throws what `lines` throws
 */
export async function showLive(live: LiveScreen): Promise<void> {
  const { screen, everyMs, lines, wait = waitFor } = live;
  const ended = new AbortController();
  let pause = new AbortController();
  const drawNow = (): void => pause.abort();
  const end = (): void => {
    ended.abort();
    drawNow();
  };
  const resume = (): void => {
    terminal.enter();
    drawNow();
  };
  const terminal = takeTerminal(live, (keys) => {
    if (endKeys.some((key) => keys.includes(key))) return end();
    if (keys === suspendKey) {
      terminal.leave();
      // The whole group of processes, as the terminal itself would; goes on here when the shell continues it.
      process.kill(0, "SIGTSTP");
      return resume();
    }
    drawNow();
  });
  screen.on?.("resize", drawNow);
  process.on("SIGINT", end).on("SIGTERM", end).on("SIGCONT", resume);
  try {
    terminal.enter();
    while (!ended.signal.aborted) {
      pause = new AbortController();
      // An answer that takes long does not keep the person who has pressed q.
      const shown = await unlessAborted(lines(ended.signal), ended.signal);
      if (shown === undefined) break;
      screen.write(`${home}${shown.map((line) => `${line}${clearLine}`).join("\n")}${clearBelow}`);
      await wait(everyMs, pause.signal);
    }
  } finally {
    process.off("SIGINT", end).off("SIGTERM", end).off("SIGCONT", resume);
    screen.off?.("resize", drawNow);
    terminal.release();
  }
}

/** `release` may be called once, at the end. */
function takeTerminal({ screen, keyboard }: LiveScreen, onKeys: (keys: string) => void) {
  const isTyped = keyboard.isTTY === true;
  const onData = (chunk: Buffer | string): void => onKeys(chunk.toString());
  const leave = (): void => {
    if (isTyped) keyboard.setRawMode?.(false);
    screen.write(leaveScreen);
  };
  if (isTyped) keyboard.on("data", onData);
  return {
    /** A shell may have changed the mode of the keyboard meanwhile, which Node sets only when it knows of a change. */
    enter(): void {
      if (isTyped) keyboard.setRawMode?.(false);
      if (isTyped) keyboard.setRawMode?.(true);
      screen.write(enterScreen);
    },
    leave,
    release(): void {
      if (isTyped) keyboard.off("data", onData).pause();
      leave();
    },
  };
}

async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const { promise: aborted, resolve } = Promise.withResolvers<undefined>();
  const onAbort = (): void => resolve(undefined);
  signal.addEventListener("abort", onAbort);
  // What fails after the end has no reader.
  promise.catch(() => {});
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function waitFor(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}
