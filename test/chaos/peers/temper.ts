/** What a server does at one step of a session (pure). */
import type { Random } from "../random.ts";

export type Whim =
  | { do: "usual" }
  | { do: "defer" }
  /** Refuses the whole message for good. */
  | { do: "refuse" }
  | { do: "hang" }
  | { do: "vanish" }
  | { do: "late"; ms: number }
  /** After the final dot: the connection breaks, and the server has kept the message or has not. */
  | { do: "lose"; kept: boolean };

export type Step = "connect" | "mail" | "rcpt" | "data" | "body" | "dot";

export function whimAt(step: Step, temper: number, random: Random): Whim {
  // A message passes several steps, and the whole of them should not fail much more often than one.
  if (!random.chance(temper)) return { do: "usual" };
  switch (step) {
    case "connect":
      return random.pick<Whim>([
        { do: "late", ms: random.between(500, 4_000) },
        { do: "defer" },
        { do: "vanish" },
        { do: "hang" },
      ]);
    case "mail":
    case "rcpt":
    case "data":
      return random.pick<Whim>([{ do: "defer" }, { do: "defer" }, { do: "vanish" }, { do: "hang" }]);
    case "body":
      return { do: "vanish" };
    case "dot":
      return random.pick<Whim>([
        { do: "defer" },
        { do: "refuse" },
        { do: "lose", kept: true },
        { do: "lose", kept: false },
        { do: "hang" },
        { do: "late", ms: random.between(500, 4_000) },
      ]);
  }
}
