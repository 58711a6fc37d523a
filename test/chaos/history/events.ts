/** What a run records, one JSON line each: `at` is milliseconds since the start, by the clock of the run itself. */

/** How a message reached the gateway. */
export type Door = "queued" | "inline" | "proxied" | "intercepted";

/** What a client asked for, RFC 3461 §4.1; absent: FAILURE and perhaps DELAY. */
export type Notify = "NEVER" | "SUCCESS" | "FAILURE" | "SUCCESS,FAILURE" | "DELAY,FAILURE";

export interface Recipient {
  /** Unique in the run. */
  address: string;
  notify?: Notify;
}

interface Sent {
  at: number;
  door: Door;
  /** Unique in the run; empty for the null sender. */
  from: string;
  /** Those whose RCPT got a 2xx. */
  recipients: Recipient[];
}

/** The client heard 250 to its final dot: the gateway is responsible now. */
export interface Accepted extends Sent {
  kind: "accepted";
  reply: string;
}

/** The client heard 4xx or 5xx to its final dot: nobody may get the message. */
export interface Refused extends Sent {
  kind: "refused";
  reply: string;
}

/** The client sent the final dot, or a part of the message, and heard nothing: anything may have become of it. */
export interface Unanswered extends Sent {
  kind: "unanswered";
}

/** A server has taken a message for these recipients. */
export interface Copy {
  kind: "copy";
  at: number;
  /** When its transaction began. */
  beganAt: number;
  server: string;
  /** The process that sent it, by its source address; absent: a client through the outgoing proxy. */
  sender?: string;
  from: string;
  /** Message-ID, which tells two notifications from two copies of one. */
  messageId: string;
  recipients: string[];
  /** Recipients whose report of success this server has been asked for. */
  reportedByServer: string[];
  /** False: the server kept the message and its reply was lost. */
  answered: boolean;
}

/** A server has refused these recipients for good. */
export interface ServerRefused {
  kind: "server-refused";
  at: number;
  server: string;
  recipients: string[];
}

export type Action = "failed" | "delayed" | "delivered" | "relayed" | "expanded";

/** A notification has reached the sender of a message: one line for each copy that a server took. */
export interface Report {
  kind: "report";
  at: number;
  to: string;
  messageId: string;
  about: { address: string; action: Action; status: string }[];
}

/** Something was done to a process, to Redis, to the disk, to the clock or to the DNS. */
export interface Fault {
  kind: "fault";
  at: number;
  fault: FaultKind;
  /** A process (`delivery-1`, `redis`), a file, or the machine. */
  target: string;
  /** The fault ends with a later line of the same fault and target that has `ended: true`. */
  ended?: true;
  detail?: string;
  /** The mail that the damage destroyed. */
  destroyed?: Destroyed[];
}

export interface Destroyed {
  /** Queue id. */
  id: string;
  /** Of the message itself; empty when only what was known of it is gone. */
  recipients: string[];
}

export type FaultKind =
  | "kill"
  | "stop"
  | "flush"
  | "old-dump"
  | "memory"
  | "disk-full"
  | "disk-error"
  | "torn-record"
  | "flipped-byte"
  | "clock"
  | "dns"
  | "reload";

/** A line of a process's log that the model needs. */
export interface Logged {
  kind: "logged";
  at: number;
  process: string;
  event: string;
  id?: string;
  to?: string;
  from?: string;
  text?: string;
}

/** An operator removed mail for these recipients; `unclear`: the answer was lost. */
export interface Removed {
  kind: "removed";
  at: number;
  recipients: string[];
  unclear?: true;
}

/** A line of the queues after the end of the run. */
export interface Left {
  kind: "left";
  at: number;
  status: "waiting" | "active" | "deferred" | "held" | "dead";
  id: string;
  from: string;
  to: string[];
  reason: string | null;
}

/** Something that should not be there at the end: an orphan file, a descriptor, memory. */
export interface Leftover {
  kind: "leftover";
  at: number;
  what: string;
}

export type HistoryEvent =
  | Accepted
  | Refused
  | Unanswered
  | Copy
  | ServerRefused
  | Report
  | Fault
  | Logged
  | Removed
  | Left
  | Leftover;
