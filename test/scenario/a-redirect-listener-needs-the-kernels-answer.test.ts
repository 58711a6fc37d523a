import assert from "node:assert/strict";
import { test } from "node:test";
import koffi from "koffi";
import { startTestIngress } from "../support/ingress.ts";

test("without a C library an ingress with `destination: redirect` does not start, and says why", async (t) => {
  t.mock.method(koffi, "load", () => {
    throw new Error("no such library");
  });
  const listeners = [{ name: "redirected", address: "127.0.0.1", port: 0, destination: "redirect" as const }];
  const started = startTestIngress({ listeners }).then((ingress) => ingress.close(0));
  await assert.rejects(started, {
    message:
      "listener redirected cannot listen on 127.0.0.1:0: transparent sockets and redirected connections need a C library, and none of libc.so.6, libc.so is here",
  });
});
