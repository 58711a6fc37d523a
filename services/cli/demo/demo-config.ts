/** The configuration of `postern demo`, for a newcomer to read. Pure. */
import { domains } from "./scene.ts";

export interface DemoPorts {
  /** Where the gateway takes mail. */
  smtp: number;
  admin: number;
  /** The mail server behind the gateway. */
  mailServer: number;
}

/** @param data  the directory of the spool and of the embedded Redis */
export function demoConfig(ports: DemoPorts, data: string): string {
  return `# Made by 'postern demo'.
hostname: gw.demo.example
data: ${JSON.stringify(data)}

listeners:
  - { name: submission, address: 127.0.0.1, port: ${ports.smtp}, destination: self }

protected:
  - domains: [${domains.join(", ")}]
    servers: ["127.0.0.1:${ports.mailServer}"]
    inline: false # everything goes through the queue, where you can watch it

# Short, so that you see the whole life of a message.
queue: { retry: [10s, 15s, 20s], expire: 10m, delay_warning: 1m }

admin: { address: 127.0.0.1, port: ${ports.admin} }
`;
}
