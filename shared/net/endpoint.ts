/** An endpoint as logs and messages show it. Pure. */
import type { Endpoint } from "../mail/client-connection.ts";
import { formatHostPort } from "../routing/route.ts";

/** `address:port`, with brackets around IPv6. */
export function formatEndpoint({ address, port }: Endpoint): string {
  return formatHostPort({ host: address, port });
}
