/** Indexed jobs for tests: what a test names, and the rest like any other. */

import type { JobStatus, ListedQueue } from "../../../shared/queue/bullmq/job-places.ts";
import { makeDeliveryJob } from "../../../shared/queue/contract/delivery-job.ts";
import { type IndexedJob, MailIndex } from "../../../shared/queue/operator/mail-index.ts";
import type { Diagnosis } from "../../../shared/smtp/diagnosis.ts";
import { storedMessage } from "./stored-message.ts";

export interface GivenJob {
  from?: string;
  to?: string[];
  receivedAtMs?: number;
  status?: JobStatus;
  queue?: ListedQueue;
  dueAtMs?: number;
  order?: number;
  route?: string;
  attempts?: number;
  diagnoses?: Diagnosis[];
}

/** The index after one scan that found these jobs. */
export function indexOf(given: readonly GivenJob[], maxJobs = 1_000): MailIndex {
  const index = new MailIndex(maxJobs);
  index.beginScan();
  for (const job of given) addJob(index, job);
  index.endScan();
  return index;
}

/** @returns the id of the job */
export function addJob(index: MailIndex, given: GivenJob): string {
  const { to = ["joe@two.example"], status = "deferred", queue = "delivery", diagnoses = [] } = given;
  const message = storedMessage({
    to,
    parts: [to.map((_, n) => n)],
    ...(given.from === undefined ? {} : { from: given.from }),
    ...(given.receivedAtMs === undefined ? {} : { receivedAtMs: given.receivedAtMs }),
  });
  const job = makeDeliveryJob(
    message,
    0,
    { label: given.route ?? "relay via mx two.example", aliases: [] },
    false,
  );
  if (diagnoses.length > 0) {
    const last = diagnoses.map((diagnosis, n) => ({ recipients: [n], diagnosis }));
    job.history = { attempts: given.attempts ?? 1, lastAttemptAtMs: diagnoses[0]?.atMs ?? 0, last };
  }
  const jobId = `${job.id}-0`;
  const due = status === "deferred" ? { dueAtMs: given.dueAtMs ?? 1 } : {};
  const place = { jobId, queue, status, order: given.order ?? given.dueAtMs ?? 0, ...due };
  if (index.see(place)) index.put(place, { job });
  return jobId;
}

export const every = (_: IndexedJob): boolean => true;

export function said(code: number, words: string, atMs = 0): Diagnosis {
  return {
    status: "4.2.1",
    class: "4xx",
    reason: `mx.two.example [192.0.2.1] said: ${code} 4.2.1 ${words} (in reply to RCPT TO)`,
    reply: { code, enhanced: "4.2.1", lines: [words], command: "RCPT" },
    remote: { host: "mx.two.example", address: "192.0.2.1", port: 25 },
    atMs,
  };
}
