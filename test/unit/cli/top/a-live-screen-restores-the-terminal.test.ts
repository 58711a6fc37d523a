import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { type LiveScreen, showLive } from "../../../../services/cli/top/live-screen.ts";

const entered = "\u001b[?1049h\u001b[?25l";
const left = "\u001b[?25h\u001b[?1049l";

/** A terminal that records what is written, and a clock that the test moves. */
class Terminal {
  written = "";
  isRaw = false;
  readonly waits: (() => void)[] = [];
  readonly resized = new EventEmitter();
  readonly keyboard = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (isRaw: boolean) => {
      this.isRaw = isRaw;
    },
  });
  /** Resolves when the screen has been drawn so often. */
  #drawn = 0;
  #expected: { count: number; resolve(): void } | undefined;

  get screens(): string[] {
    return this.written.split("\u001b[H").slice(1);
  }

  live(lines: LiveScreen["lines"]): LiveScreen {
    return {
      screen: {
        write: (text: string) => {
          this.written += text;
        },
        on: (event, listener) => this.resized.on(event, listener),
        off: (event, listener) => this.resized.off(event, listener),
      },
      keyboard: this.keyboard as unknown as LiveScreen["keyboard"],
      everyMs: 2000,
      lines,
      wait: (ms, signal) => {
        assert.equal(ms, 2000);
        this.#drawn++;
        if (this.#drawn === this.#expected?.count) this.#expected.resolve();
        return new Promise((resolve) => {
          this.waits.push(resolve);
          signal.addEventListener("abort", () => resolve());
          if (signal.aborted) resolve();
        });
      },
    };
  }

  /** The time between two screens goes by. */
  tick(): void {
    this.waits.at(-1)?.();
  }

  drawn(count: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#drawn >= count) resolve();
    else this.#expected = { count, resolve };
    return promise;
  }

  assertRestored(): void {
    assert.ok(this.written.startsWith(entered) && this.written.endsWith(left));
    assert.equal(this.isRaw, false);
    assert.equal(this.resized.listenerCount("resize"), 0);
    assert.equal(this.keyboard.listenerCount("data"), 0);
  }
}

test("the screen is drawn again after each interval, in place of the one before", async () => {
  const terminal = new Terminal();
  let look = 0;
  const ended = showLive(terminal.live(async () => [`look ${++look}`, "second line"]));
  await terminal.drawn(1);
  assert.equal(terminal.isRaw, true);
  terminal.tick();
  await terminal.drawn(2);
  terminal.keyboard.write("q");
  await ended;
  assert.deepEqual(
    terminal.screens.map((screen) => screen.replace(left, "")),
    ["look 1\u001b[K\nsecond line\u001b[K\u001b[J", "look 2\u001b[K\nsecond line\u001b[K\u001b[J"],
  );
  terminal.assertRestored();
});

test("another key and a new size of the terminal draw before the interval is over", async () => {
  const terminal = new Terminal();
  const ended = showLive(terminal.live(async () => ["a"]));
  await terminal.drawn(1);
  terminal.keyboard.write(" ");
  await terminal.drawn(2);
  terminal.resized.emit("resize");
  await terminal.drawn(3);
  terminal.keyboard.write("q");
  await ended;
  assert.equal(terminal.screens.length, 3);
});

for (const [name, key] of [
  ["q", "q"],
  ["Ctrl-C", "\u0003"],
  ["Ctrl-D", "\u0004"],
] as const) {
  test(`${name} ends it while the admin has not answered, and the request with it`, async () => {
    const terminal = new Terminal();
    const asked = Promise.withResolvers<AbortSignal>();
    const ended = showLive(
      terminal.live((signal) => {
        asked.resolve(signal);
        return new Promise(() => {});
      }),
    );
    const signal = await asked.promise;
    terminal.keyboard.write(key);
    await ended;
    assert.ok(signal.aborted);
    terminal.assertRestored();
  });
}

test("SIGINT ends it and leaves no handler behind", async () => {
  const before = process.listenerCount("SIGINT");
  const terminal = new Terminal();
  const ended = showLive(terminal.live(async () => ["a"]));
  await terminal.drawn(1);
  process.emit("SIGINT");
  await ended;
  terminal.assertRestored();
  assert.equal(process.listenerCount("SIGINT"), before);
});

test("the screen comes back when the shell continues the process, in the mode that the shell has changed", async () => {
  const terminal = new Terminal();
  const ended = showLive(terminal.live(async () => ["a"]));
  await terminal.drawn(1);
  terminal.isRaw = false;
  process.emit("SIGCONT");
  await terminal.drawn(2);
  assert.equal(terminal.isRaw, true);
  assert.equal(terminal.written.split(entered).length, 3);
  terminal.keyboard.write("q");
  await ended;
  terminal.assertRestored();
});

test("an error ends it with the terminal restored", async () => {
  const terminal = new Terminal();
  await assert.rejects(showLive(terminal.live(() => Promise.reject(new Error("no admin")))), /no admin/);
  terminal.assertRestored();
});
