/** Schema of SMTP AUTH: who may log in, and how many failures are let pass. */
import { z } from "zod";
import { rate, text } from "./values.ts";

export const auth = z
  .strictObject({
    users: z
      .strictObject({
        file: text.describe(
          "One `name:scrypt$N$r$p$SALT$KEY` a line, with `#` comments; `postern user add` writes it. It is read again when it changes; while it has errors the users before them hold. Relative to the configuration file.",
        ),
      })
      .optional()
      .describe(
        "Users of the gateway itself. Absent: those of the protected domains; give this or `servers`.",
      ),
    servers: z
      .literal(true)
      .optional()
      .describe(
        "`true`: the users of the protected domains. The gateway logs in to the domain's own servers, under TLS, with the name and password that the client gave. The domain is the one in the user name; for names without a domain it is that of the protected server that the client connected to. Absent: `users`.",
      ),
    failures: z
      .strictObject({
        client: rate
          .prefault("10/10m")
          .describe("Failed logins from one client address; an IPv6 /64 network counts as one address."),
        user: rate.prefault("50/1h").describe("Failed logins with one user name, from all clients together."),
      })
      .prefault({})
      .describe(
        "Failed logins over all processes after which AUTH is answered with 454 4.7.0, without a look at the password, until the period is over. It begins with the first failure.",
      ),
  })
  .refine(
    ({ users, servers }) => (users === undefined) !== (servers === undefined),
    "needs either `users` or `servers`",
  );
