import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "../../shared/runtime/metrics.ts";
import { startTestIngress } from "../support/ingress.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

test("connections by row, transactions by result, octets each way, what is open, what was not inspected", async (t) => {
  const metrics = createMetrics("ingress");
  const server = await startSmtpPeer({
    address: "127.0.0.2",
    script: {
      starttls: () => "220 go on",
      mail: (address) => (address === "bad@b" ? "550 5.7.1 no" : undefined),
    },
  });
  const gateway = await startTestIngress({}, { metrics });
  t.after(async () => {
    await gateway.close(0);
    await server.stop();
  });
  const has = (text: string, line: string) =>
    assert.ok(text.replaceAll(',service="ingress"', "").split("\n").includes(line), `${line}\n${text}`);
  const client = await gateway.connect(server);
  await client.reply();
  await client.command("MAIL FROM:<bad@b>");
  await client.command("MAIL FROM:<a@b>");
  await client.command("RSET");
  await client.command("STARTTLS");
  const open = await metrics.text();
  has(
    open,
    'postern_connections_total{listener="transparent",row="client-server",handler="outgoing-proxy"} 1',
  );
  has(open, 'postern_connections_active{handler="outgoing-proxy"} 1');
  has(open, 'postern_proxy_transactions_total{result="refused"} 1');
  has(open, 'postern_proxy_transactions_total{result="abandoned"} 1');
  has(open, 'postern_proxy_not_inspected_total{reason="starttls"} 1');
  has(open, 'postern_proxy_octets_total{direction="to-server"} 52');
  client.close();
  await waitFor("the session ends", () => gateway.events("session.close").length === 1);
  has(await metrics.text(), 'postern_connections_active{handler="outgoing-proxy"} 0');
});
