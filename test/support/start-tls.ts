/** The client's side of STARTTLS. Everything is closed with the test. */
import assert from "node:assert/strict";
import net from "node:net";
import type { TestContext } from "node:test";
import tls from "node:tls";
import { SmtpClient } from "./smtp-client.ts";

/** STARTTLS and the handshake. */
export async function startTls(t: TestContext, client: SmtpClient, options: tls.ConnectionOptions = {}) {
  assert.match(await client.command("STARTTLS"), /^220 2\.0\.0 /);
  client.socket.removeAllListeners("data");
  const socket = tls.connect({ socket: client.socket, rejectUnauthorized: false, ...options });
  t.after(() => socket.destroy());
  await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
  return { socket, client: await clientOver(t, socket) };
}

/** A client whose octets go through the TLS session. */
async function clientOver(t: TestContext, socket: tls.TLSSocket): Promise<SmtpClient> {
  const bridge = net.createServer((plain) => {
    plain.on("error", () => {});
    socket.on("error", () => {});
    plain.pipe(socket).pipe(plain);
  });
  await new Promise<void>((resolve) => bridge.listen(0, "127.0.0.1", resolve));
  const client = await SmtpClient.connect((bridge.address() as net.AddressInfo).port);
  bridge.close();
  t.after(() => client.close());
  return client;
}
