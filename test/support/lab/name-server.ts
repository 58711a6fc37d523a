/** The name server of the lab as a process: `node name-server.ts ADDRESS PORT ZONE.json`, until it is killed. */
import { readFileSync } from "node:fs";
import { startDnsZone } from "../dns-zone.ts";

const [address = "127.0.0.1", port = "53", file = ""] = process.argv.slice(2);
await startDnsZone(JSON.parse(readFileSync(file, "utf8")), { address, port: Number(port) });
console.log("ready");
