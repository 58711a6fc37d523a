/** DNS that answers SERVFAIL, nothing, garbage or something else than it was asked, and DNS that lies. */
import type { Behaviour } from "../../support/dns-zone.ts";
import { domains, hostRecords } from "../peers/domains.ts";
import type { FaultKindOf } from "./fault.ts";
import { lasting } from "./pause.ts";

const failures: Behaviour[] = [
  "servfail",
  "refused",
  "silent",
  "garbled",
  "wrong-id",
  "wrong-question",
  "wrong-source",
];

export const breakDns: FaultKindOf = {
  name: "dns",
  weight: 2,
  needsMs: 6_000,
  async happen({ zone, recorder, ending }, random) {
    const behaviour = random.pick(failures);
    const what = { kind: "fault", fault: "dns", target: "name server", detail: behaviour } as const;
    recorder.record(what);
    zone.behave(behaviour);
    await lasting(random.between(2_000, 12_000), ending);
    zone.behave(undefined);
    recorder.record({ ...what, ended: true });
  },
};

export const lieInDns: FaultKindOf = {
  name: "dns-lie",
  weight: 1,
  needsMs: 6_000,
  async happen({ zone, recorder, ending }, random) {
    const domain = random.pick(Object.keys(domains));
    const host = `mail.${domain}`;
    const saysNobody = random.chance(0.3);
    const what = { kind: "fault", fault: "dns", target: host } as const;
    recorder.record({ ...what, detail: saysNobody ? "NXDOMAIN" : "the address of nobody" });
    zone.set(host, saysNobody ? undefined : { A: ["127.0.3.250"], ttl: 1 });
    await lasting(random.between(2_000, 8_000), ending);
    zone.set(host, hostRecords(domain));
    recorder.record({ ...what, ended: true });
  },
};
