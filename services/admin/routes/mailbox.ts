/** A mail address in a request: parsed, and in the form in which envelopes have it. Pure. */
import { z } from "zod";
import { parsePath } from "../../../shared/mail/address.ts";

export const mailbox = z
  .string()
  .trim()
  .min(1)
  .max(1000)
  .transform((text, context) => {
    const path = `<${text.replace(/^<|>$/g, "")}>`;
    const parsed = parsePath(path, 0);
    if (parsed.kind === "mailbox" && parsed.end === path.length) return parsed.address;
    context.addIssue({ code: "custom", message: "is not a mail address" });
    return z.NEVER;
  });
