import assert from "node:assert/strict";
import { hostname } from "node:os";
import { test } from "node:test";
import { localUrl } from "../../../services/cli/admin-api/admin-client.ts";
import { reachableUrl } from "../../../shared/runtime/health-server.ts";

test("a server on a wildcard address is announced by the host's name, and called on this machine by loopback", () => {
  assert.equal(reachableUrl("0.0.0.0", 9025), `http://${hostname()}:9025`);
  assert.equal(reachableUrl("::", 9025), `http://${hostname()}:9025`);
  assert.equal(localUrl("0.0.0.0", 8025), "http://127.0.0.1:8025");
  assert.equal(localUrl("::", 8025), "http://[::1]:8025");
});

test("a server on one address is reached by that address, IPv6 in brackets", () => {
  assert.equal(reachableUrl("127.0.0.1", 9025), "http://127.0.0.1:9025");
  assert.equal(reachableUrl("2001:db8::1", 9025), "http://[2001:db8::1]:9025");
  assert.equal(localUrl("2001:db8::1", 8025), "http://[2001:db8::1]:8025");
});
