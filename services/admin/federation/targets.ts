/** Which processes the admin asks for their metrics, from the announcements of the services. Pure. */
import type { ServiceAnnouncement } from "../../../shared/runtime/announcement.ts";

export interface Target {
  /** The name of the service. */
  name: string;
  /** Host and port: `gw1.example.net:9025`. */
  instance: string;
  /** Where it answers /metrics; absent: it cannot be reached from here. */
  url?: string;
}

/** A page of more processes would be too much for one scrape: such a site lets Prometheus ask them itself. */
export const maxTargets = 100;

/**
 * @param announced  all announcements that have not expired; the admin's own are left out
 * @param here  the name of this host
 */
export function scrapeTargets(announced: readonly ServiceAnnouncement[], here: string): Target[] {
  // A process that was killed and its successor on the same port are both announced for some seconds: the latest counts.
  const latest = new Map<string, ServiceAnnouncement>();
  for (const service of announced) {
    if (service.name === "admin" || service.url === null) continue;
    const key = `${service.host} ${service.url}`;
    const other = latest.get(key);
    if (other === undefined || other.startedAt < service.startedAt) latest.set(key, service);
  }
  return [...latest.values()].slice(0, maxTargets).map((service) => targetOf(service, here));
}

function targetOf({ name, host, url }: ServiceAnnouncement, here: string): Target {
  const parsed = URL.parse(url ?? "");
  if (parsed === null) return { name, instance: host };
  const isLoopback = /^(localhost|127\.[\d.]+|\[::1\])$/.test(parsed.hostname);
  const instance = `${isLoopback ? host : parsed.hostname}:${parsed.port || "80"}`;
  if (host !== here) return isLoopback ? { name, instance } : { name, instance, url: parsed.origin };
  // On a wildcard address a service announces the host's name, which need not resolve on the host itself.
  if (parsed.hostname === here.toLowerCase()) parsed.hostname = "127.0.0.1";
  return { name, instance, url: parsed.origin };
}
