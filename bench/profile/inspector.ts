/** Controls a Node process that was started with --inspect, by its debugger's WebSocket. The caller closes it. */

/** A node of a CPU profile's call tree (Chrome DevTools Protocol, Profiler.ProfileNode). */
export interface ProfileNode {
  id: number;
  callFrame: CallFrame;
  children?: number[];
}

export interface CallFrame {
  functionName: string;
  url: string;
  lineNumber: number;
}

/** Profiler.Profile: the node on top of the stack at each sample, and the microseconds since the sample before. */
export interface CpuProfile {
  nodes: ProfileNode[];
  samples: number[];
  timeDeltas: number[];
}

/** HeapProfiler.SamplingHeapProfileNode: octets that the function itself allocated. */
export interface AllocationNode {
  callFrame: CallFrame;
  selfSize: number;
  children: AllocationNode[];
}

export interface Inspector {
  call<T>(method: string, params?: Record<string, unknown>): Promise<T>;
  close(): void;
}

/** @param url  `ws://127.0.0.1:PORT/UUID` */
export async function connectInspector(url: string): Promise<Inspector> {
  const socket = new WebSocket(url);
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let lastId = 0;
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", () => reject(new Error(`no debugger answers at ${url}`)));
  });
  socket.addEventListener("message", ({ data }) => {
    const { id, result, error } = JSON.parse(String(data));
    const call = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) call?.resolve(result);
    else call?.reject(new Error(error.message));
  });
  return {
    call<T>(method: string, params: Record<string, unknown> = {}): Promise<T> {
      const call = Promise.withResolvers<unknown>();
      waiting.set(++lastId, call);
      socket.send(JSON.stringify({ id: lastId, method, params }));
      return call.promise as Promise<T>;
    },
    close: () => socket.close(),
  };
}
