/** The admin as a stranger on the network finds it: shut by default, and shut without a token where it listens for others. */
import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { startTestAdmin, token } from "../support/admin.ts";

const outer = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ internal, family }) => !internal && family === "IPv4")?.address;
const skip = outer === undefined && "this machine has no address but loopback";

test("by default nobody reaches it from another address than loopback", { skip }, async (t) => {
  const admin = await startTestAdmin();
  t.after(() => admin.close());
  const url = new URL(admin.url);
  assert.equal(url.hostname, "127.0.0.1");
  await assert.rejects(fetch(`http://${outer}:${url.port}/health`));
});

test("where it listens for others, a stranger without a token gets nothing but yes or no", {
  skip,
}, async (t) => {
  const admin = await startTestAdmin({ admin: { address: "0.0.0.0", port: 0, token } });
  t.after(() => admin.close());
  const {
    meta: { id },
  } = await admin.accept({ to: [["secret-recipient@example.org"]] });
  const { port } = new URL(admin.url);
  const local = `http://127.0.0.1:${port}`;
  const foreign = `http://${outer}:${port}`;
  const { paths } = (await (await fetch(`${local}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, unknown>>;
  };
  const asked = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({
      method: method.toUpperCase(),
      path: path.replace(/\{\w+\}/, "x"),
    })),
  );
  assert.ok(asked.length > 25);
  for (const path of ["/queues", "/queues/api/queues"]) asked.push({ method: "GET", path });
  for (const { method, path } of asked) {
    const answer = await fetch(foreign + path, { method, redirect: "manual" });
    const text = await answer.text();
    if (path === "/health") {
      assert.equal(Object.hasOwn(JSON.parse(text), "reasons"), false, text);
      continue;
    }
    assert.ok(
      [401, 403].includes(answer.status),
      `${method} ${path}: ${answer.status} ${text.slice(0, 200)}`,
    );
    const wrong = await fetch(foreign + path, {
      method,
      headers: { authorization: "Bearer wrong" },
      redirect: "manual",
    });
    assert.ok([401, 403].includes(wrong.status), `${method} ${path} with a wrong token: ${wrong.status}`);
    await wrong.text();
  }
  // The page itself is the same for everybody: what it shows it asks the API for, with the token that it is given.
  const page = await (await fetch(foreign)).text();
  assert.ok(!page.includes(id) && !page.includes("secret-recipient"));
  const right = await fetch(`${foreign}/api/v1/queues`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(right.status, 200);
});
