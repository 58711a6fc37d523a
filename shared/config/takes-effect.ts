/**
 * When a change of each key of the configuration takes effect: the one table for the reload, for its answer, and for the
 * reference page. A test holds that every key of the schema stands in it. Pure.
 */

/** The services by the names of their commands. */
export type Service = "ingress" | "delivery" | "bounce" | "admin";

export type Effect =
  /** New sessions and new attempts follow it. */
  | "reload"
  /** At the next `postern intercept up`. */
  | "intercept"
  /** When these services are started again. */
  | readonly Service[];

const everyService: readonly Service[] = ["ingress", "delivery", "bounce", "admin"];

/** Every key that has no keys below it, by its path as in the reference page. */
const effects: Readonly<Record<string, Effect>> = {
  hostname: "reload",
  postmaster: "reload",
  data: everyService,
  "spool.s3.bucket": everyService,
  "spool.s3.prefix": everyService,
  "spool.s3.endpoint": everyService,
  "spool.s3.region": everyService,
  "spool.s3.path_style": everyService,
  "spool.s3.batch": everyService,
  "spool.s3.cache": everyService,
  "spool.s3.timeout": everyService,
  "spool.s3.access_key_id": everyService,
  "spool.s3.secret_access_key": everyService,
  "spool.s3.session_token": everyService,
  own_addresses: "reload",
  "redis.url": everyService,
  "redis.sentinels": everyService,
  "redis.name": everyService,
  "redis.cluster": everyService,
  "redis.username": everyService,
  "redis.password": everyService,
  "redis.sentinel_username": everyService,
  "redis.sentinel_password": everyService,
  "redis.tls.ca": everyService,
  "redis.tls.cert": everyService,
  "redis.tls.key": everyService,
  "redis.tls.servername": everyService,
  "dns.servers": "reload",
  "dns.trust_ad": "reload",
  "tls.cert": "reload",
  "tls.key": "reload",
  "tls.sni.NAME.cert": "reload",
  "tls.sni.NAME.key": "reload",
  "listeners[].name": ["ingress"],
  "listeners[].address": ["ingress"],
  "listeners[].port": ["ingress"],
  "listeners[].destination": ["ingress"],
  "listeners[].trusted_proxies": "reload",
  "listeners[].pickup.incoming": "reload",
  "listeners[].pickup.outgoing": "reload",
  "listeners[].pickup.local": "reload",
  "listeners[].shadow": "reload",
  "listeners[].bare_newline": "reload",
  "listeners[].early_talker": "reload",
  "listeners[].tls.cert": "reload",
  "listeners[].tls.key": "reload",
  "listeners[].tls.sni.NAME.cert": "reload",
  "listeners[].tls.sni.NAME.key": "reload",
  "listeners[].auth": "reload",
  "intercept.interfaces": "intercept",
  "intercept.ports": "intercept",
  "intercept.pass_ports": "reload",
  "intercept.fail": "intercept",
  "protected[].domains": "reload",
  "protected[].servers": "reload",
  "protected[].use_server_for_outgoing": "reload",
  "protected[].inline": "reload",
  "protected[].hide": "reload",
  "protected[].tls": "reload",
  "outgoing.client_server": "reload",
  "outgoing.on_failure": "reload",
  "outgoing.starttls": "reload",
  "outgoing.require_auth": "reload",
  "outgoing.xclient": "reload",
  "outgoing.hide": "reload",
  "outgoing.exceptions[].clients": "reload",
  "outgoing.exceptions[].servers": "reload",
  "outgoing.exceptions[].client_server": "reload",
  "relay.clients": "reload",
  "relay.hosts.NAME.host": "reload",
  "relay.hosts.NAME.port": "reload",
  "relay.hosts.NAME.tls": "reload",
  "relay.hosts.NAME.auth.user": "reload",
  "relay.hosts.NAME.auth.password": "reload",
  "relay.routes[].to": "reload",
  "relay.routes[].from": "reload",
  "relay.routes[].via": "reload",
  "relay.backup.via": "reload",
  "relay.backup.after": "reload",
  "relay.backup.on": "reload",
  "auth.users.file": "reload",
  "auth.servers": "reload",
  "auth.failures.client": "reload",
  "auth.failures.user": "reload",
  "queue.shards": everyService,
  "queue.retry": "reload",
  "queue.slow_after": "reload",
  "queue.expire": "reload",
  "queue.dsn_expire": "reload",
  "queue.delay_warning": "reload",
  "queue.dead_retention": "reload",
  "dsn.to": "reload",
  "dsn.delays_to": "reload",
  "dsn.from": "reload",
  "dsn.name": "reload",
  "dsn.attach": "reload",
  "dsn.max_attach": "reload",
  "dsn.wave": "reload",
  "limits.connections": "reload",
  "limits.message": "reload",
  "limits.recipients": "reload",
  "limits.envelopes": "reload",
  "limits.hops": "reload",
  "limits.clients.connections": "reload",
  "limits.clients.rate": "reload",
  "limits.clients.burst": "reload",
  "limits.destinations[].match": "reload",
  "limits.destinations[].connections": "reload",
  "limits.destinations[].messages_per_connection": "reload",
  "limits.destinations[].rate": "reload",
  "limits.destinations[].burst": "reload",
  "limits.pressure.disk_free": "reload",
  "limits.pressure.disk_latency": ["ingress"],
  "limits.pressure.redis_memory": "reload",
  "limits.pressure.memory": "reload",
  "limits.dead_destination": "reload",
  "delivery.concurrency": ["delivery"],
  "delivery.source_addresses": "reload",
  "delivery.loopback": "reload",
  "delivery.tls[].match": "reload",
  "delivery.tls[].policy": "reload",
  "delivery.dane": "reload",
  "delivery.mta_sts": "reload",
  "timeouts.connect": "reload",
  "timeouts.greeting": "reload",
  "timeouts.ehlo": "reload",
  "timeouts.mail": "reload",
  "timeouts.rcpt": "reload",
  "timeouts.data": "reload",
  "timeouts.body": "reload",
  "timeouts.dot": "reload",
  "timeouts.quit": "reload",
  "timeouts.attempt": "reload",
  "timeouts.inline": "reload",
  "timeouts.client": "reload",
  "timeouts.session": "reload",
  "timeouts.tunnel": "reload",
  "log.format": everyService,
  "tracing.otlp": everyService,
  "tracing.sample": everyService,
  "events.keep": everyService,
  "events.max": everyService,
  "health.address": ["ingress", "delivery", "bounce"],
  "health.port": ["ingress", "delivery", "bounce"],
  "admin.address": ["admin"],
  "admin.port": ["admin"],
  "admin.tokens[].name": "reload",
  "admin.tokens[].token": "reload",
  "admin.tokens[].scopes": "reload",
  "admin.token": "reload",
};

/** @param key  a path as in the reference page: `listeners[].port`. @returns `undefined` for a key without a row */
export function effectOf(key: string): Effect | undefined {
  return effects[key];
}

/** The keys of the table. */
export function classedKeys(): string[] {
  return Object.keys(effects);
}

/** Whether a change of the key has to wait until this service is started again. */
export function needsRestart(key: string, service: Service): boolean {
  const effect = effects[key];
  return typeof effect === "object" && effect.includes(service);
}

/**
 * Whether a service follows a change of the key when its workers are restarted one after another. Not where all services
 * have to change together, and not for the address at which the workers' supervisor answers.
 * @param key  as take-over.ts names it: `listeners[].port (submission)`, `listeners (submission is new)`
 */
export function followedByWorkers(key: string): boolean {
  const [path = ""] = key.split(" ");
  if (path === "listeners") return true;
  return typeof effects[path] === "object" && !/^(data$|redis\.|health\.)/.test(path);
}

/** For the reference page: one or two words. */
export function describeEffect(key: string): string {
  const effect = effects[key];
  if (effect === undefined) return "";
  if (effect === "intercept") return "`intercept up`";
  return effect === "reload" ? "reload" : "restart";
}
