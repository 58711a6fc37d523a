/** The listening sockets that systemd hands to a process, by its environment: sd_listen_fds(3). */

/** SD_LISTEN_FDS_START. */
export const firstDescriptor = 3;

/** @returns the descriptors; none when they are meant for another process */
export function listenDescriptors(
  env: Readonly<Record<string, string | undefined>> = process.env,
  pid: number = process.pid,
): number[] {
  if (env.LISTEN_PID !== String(pid)) return [];
  return descriptorsFrom(env.LISTEN_FDS ?? "");
}

/** @param count  as text, of descriptors in a row; anything else is none */
export function descriptorsFrom(count: string): number[] {
  if (!/^[1-9]\d{0,3}$/.test(count)) return [];
  return Array.from({ length: Number(count) }, (_, index) => firstDescriptor + index);
}
