/** The commands, as `postern --help` lists them. What a command does is loaded when it is called. */
import type { CommandList } from "./command-line/command.ts";

export const commands: CommandList = {
  "Run the gateway": [
    {
      name: "up",
      summary: "Run every service on this machine, with an embedded Redis unless redis is configured",
      load: () => import("./up/up.ts"),
    },
    {
      name: "demo",
      summary: "Watch a gateway with a mail server behind it for a minute; nothing leaves this machine",
      load: () => import("./demo/demo.ts"),
    },
    {
      name: "ingress",
      summary: "Accept connections: listeners, queued sessions and the outgoing proxy",
      load: async () => ({ command: (await import("./service.ts")).serviceCommand("ingress") }),
    },
    {
      name: "delivery",
      summary: "Deliver from the queue; may run any number of times",
      load: async () => ({ command: (await import("./service.ts")).serviceCommand("delivery") }),
    },
    {
      name: "bounce",
      summary: "Make delivery status notifications",
      load: async () => ({ command: (await import("./service.ts")).serviceCommand("bounce") }),
    },
    {
      name: "admin",
      summary: "Serve the dashboard, the API and metrics",
      load: async () => ({ command: (await import("./service.ts")).serviceCommand("admin") }),
    },
    {
      name: "intercept up",
      summary: "Let the kernel hand sessions to the configured ports to the listeners; may be repeated",
      load: () => import("./intercept/up.ts"),
    },
    {
      name: "intercept down",
      summary: "Remove the rules, and restore routes and sysctls",
      load: () => import("./intercept/down.ts"),
    },
    {
      name: "intercept show",
      summary: "Show what is up and what is missing; exit status 1 unless everything is up",
      load: () => import("./intercept/show.ts"),
    },
  ],
  "See how it is": [
    {
      name: "status",
      summary: "Is it well, what is stuck, and what to do next; exit status 1 when it is not well",
      load: () => import("./overview/status.ts"),
    },
    {
      name: "destination",
      summary: "Why mail to a destination is slow: limits and who uses them, dead hosts, what waits",
      load: () => import("./overview/destination.ts"),
    },
    {
      name: "queue summary",
      summary: "All queued mail by destination, reason, sender or route, and by age",
      load: () => import("./overview/summary.ts"),
    },
    {
      name: "top",
      summary: "Watch the queues: services, mail by status, destinations and reasons, live",
      load: () => import("./top/top.ts"),
    },
    {
      name: "health",
      summary: "Ask a service on this machine whether it is ready: exit status 0 or 1",
      load: () => import("./health.ts"),
    },
  ],
  "Find and change mail": [
    {
      name: "probe",
      summary: "Look how a delivery to an address would go now, step by step, without mail",
      load: () => import("./probe.ts"),
    },
    {
      name: "trace",
      summary: "Show what happened to a message, or to the mail of an address",
      load: () => import("./trace/trace.ts"),
    },
    {
      name: "queue list",
      summary: "List messages that wait, are active, deferred, held or dead",
      load: () => import("./queue/list.ts"),
    },
    {
      name: "queue show",
      summary: "Show everything about messages except their bodies",
      load: () => import("./queue/show.ts"),
    },
    {
      name: "queue retry",
      summary: "Make deferred messages due now; held ones stay held",
      load: () => import("./queue/retry.ts"),
    },
    {
      name: "queue hold",
      summary: "Make no attempt until released; one sender, one domain or all: also for later messages",
      load: () => import("./queue/hold.ts"),
    },
    {
      name: "queue release",
      summary: "End a hold; its messages are due now",
      load: () => import("./queue/release.ts"),
    },
    {
      name: "queue remove",
      summary: "Remove messages for good",
      load: () => import("./queue/remove.ts"),
    },
    {
      name: "queue reroute",
      summary: "Send queued messages by another next hop; also undoes it",
      load: () => import("./queue/reroute.ts"),
    },
    {
      name: "queue put-back",
      summary: "Requeue dead messages, with the schedule of new ones",
      load: () => import("./queue/put-back.ts"),
    },
    {
      name: "holds",
      summary: "List which mail is held: why, by whom, until when, and how many messages wait",
      load: () => import("./holds/holds.ts"),
    },
    {
      name: "tasks list",
      summary: "List the last changes of messages: who, what, why, and how many",
      load: () => import("./tasks/list.ts"),
    },
    {
      name: "tasks show",
      summary: "Show how far a change of messages is",
      load: () => import("./tasks/show.ts"),
    },
    {
      name: "tasks cancel",
      summary: "End a change of messages that runs; what it changed stays changed",
      load: () => import("./tasks/cancel.ts"),
    },
    {
      name: "queue export",
      summary: "Write messages with their original header fields",
      load: () => import("./queue/export.ts"),
    },
    {
      name: "queue import",
      summary: "Put exported messages, or those of an mbox file, in the queue again",
      load: () => import("./queue/import.ts"),
    },
  ],
  "Configure it": [
    {
      name: "config check",
      summary: "Check the configuration, and print every error in it with its line",
      load: () => import("./config-check.ts"),
    },
    {
      name: "config show",
      summary: "Show the configuration with every default, secrets masked",
      load: () => import("./config-show.ts"),
    },
    {
      name: "reload",
      summary: "Let every process take the changed configuration, without ending a session",
      load: () => import("./reload.ts"),
    },
    {
      name: "drain",
      summary: "Take a host out of service: no new sessions, and wait until its mail is delivered",
      load: () => import("./drain.ts"),
    },
    {
      name: "spool copy",
      summary: "Hand the mail of a stopped gateway to the spool of another, each message once",
      load: () => import("./spool/copy.ts"),
    },
    {
      name: "explain",
      summary: "Show what the routing table does with a connection and its recipients",
      load: () => import("./explain.ts"),
    },
    {
      name: "user add",
      summary: "Add a user who may log in; asks for the password, or reads one line of standard input",
      load: () => import("./user/add.ts"),
    },
    {
      name: "user remove",
      summary: "Remove a user; sessions that are logged in go on until they end",
      load: () => import("./user/remove.ts"),
    },
    {
      name: "user list",
      summary: "List the users who may log in",
      load: () => import("./user/list.ts"),
    },
    {
      name: "completion",
      summary: "Print what makes a shell complete commands, options and values",
      load: () => import("./completion/completion.ts"),
    },
  ],
};
