/**
 * Profiles CPU time and allocations of each service under load. Writes a CPU profile for Chrome's DevTools and flame graphs,
 * and prints the functions with the most time or allocations of their own.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadedSide } from "../end-to-end.ts";
import { type Postern, startPostern } from "../peers/postern.ts";
import { startSink } from "../peers/sink.ts";
import { type Frame, flameGraph } from "./flame-graph.ts";
import {
  type AllocationNode,
  type CallFrame,
  type CpuProfile,
  connectInspector,
  type Inspector,
} from "./inspector.ts";

const load = { name: "", sessions: 20, messages: 10_000, bytes: 4096, reuse: true };
const services = ["ingress", "delivery", "bounce", "admin"];

export async function profile(directory: string, say: (line: string) => void): Promise<void> {
  const sink = await startSink();
  const config = { relay: { routes: [{ to: "*", via: `127.0.0.1:${sink.port}` }] } };
  const postern = await startPostern({ config, nodeOptions: "--inspect=127.0.0.1:0" });
  const inspectors = await inspectServices(postern);
  try {
    const side = loadedSide(postern, sink, load);
    await side.measure(load.messages);
    for (const { inspector } of inspectors) {
      await inspector.call("Profiler.enable");
      await inspector.call("Profiler.setSamplingInterval", { interval: 250 });
      await inspector.call("Profiler.start");
    }
    await side.measure(load.messages);
    for (const { service, inspector } of inspectors) {
      const { profile } = await inspector.call<{ profile: CpuProfile }>("Profiler.stop");
      writeFileSync(join(directory, `${service}.cpuprofile`), JSON.stringify(profile));
      writeFlameGraph(directory, `${service}-cpu`, cpuTree(profile), (share) => `${share.toFixed(1)} %`, say);
    }
    // In a run of its own, since sampling allocations slows the services down.
    for (const { inspector } of inspectors) {
      await inspector.call("HeapProfiler.startSampling", {
        samplingInterval: 16_384,
        includeObjectsCollectedByMajorGC: true,
        includeObjectsCollectedByMinorGC: true,
      });
    }
    await side.measure(load.messages);
    for (const { service, inspector } of inspectors) {
      const { profile } = await inspector.call<{ profile: { head: AllocationNode } }>(
        "HeapProfiler.stopSampling",
      );
      const octets = (value: number) => `${Math.round(value / load.messages)} octets a message`;
      writeFlameGraph(directory, `${service}-allocations`, allocationTree(profile.head), octets, say);
    }
  } finally {
    for (const { inspector } of inspectors) inspector.close();
    await postern.stop();
    await sink.stop();
  }
}

/** Asks each debugger for the command line of its process, which names the service. */
async function inspectServices(postern: Postern): Promise<{ service: string; inspector: Inspector }[]> {
  const urls = readFileSync(postern.logFile, "utf8").match(/ws:\/\/\S+/g) ?? [];
  const found: { service: string; inspector: Inspector }[] = [];
  for (const url of urls) {
    const inspector = await connectInspector(url).catch(() => undefined);
    if (inspector === undefined) continue;
    const { result } = await inspector.call<{ result: { value: string } }>("Runtime.evaluate", {
      expression: "process.argv.join(' ')",
    });
    const service = services.find((name) => result.value.split(" ").includes(name));
    if (service === undefined) inspector.close();
    else found.push({ service, inspector });
  }
  return found;
}

function writeFlameGraph(
  directory: string,
  name: string,
  root: Frame,
  describe: (value: number) => string,
  say: (line: string) => void,
): void {
  const file = join(directory, `${name}.svg`);
  writeFileSync(file, flameGraph(`postern ${name}: ${describe(root.value)}`, root, describe));
  say(`${file}: ${describe(root.value)}`);
  for (const [frame, value] of costliest(root)) say(`  ${describe(value).padStart(24)}  ${frame}`);
}

/** In percent of the time that the process was not idle. */
function cpuTree({ nodes, samples, timeDeltas }: CpuProfile): Frame {
  const own = new Map<number, number>();
  samples.forEach((id, index) => {
    own.set(id, (own.get(id) ?? 0) + (timeDeltas[index] ?? 0));
  });
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const idle = nodes.find(({ callFrame }) => callFrame.functionName === "(idle)");
  const all = samples.reduce((sum, id, index) => sum + (id === idle?.id ? 0 : (timeDeltas[index] ?? 0)), 0);
  const frameOf = (id: number): Frame => {
    const node = byId.get(id);
    const children = (node?.children ?? []).filter((child) => child !== idle?.id).map(frameOf);
    const value = children.reduce((sum, child) => sum + child.value, ((own.get(id) ?? 0) * 100) / all);
    return { name: frameName(node?.callFrame), value, children };
  };
  return frameOf(nodes[0]?.id ?? 0);
}

function allocationTree(node: AllocationNode): Frame {
  const children = node.children.map(allocationTree);
  const value = children.reduce((sum, child) => sum + child.value, node.selfSize);
  return { name: frameName(node.callFrame), value, children };
}

function frameName(frame: CallFrame | undefined): string {
  if (frame === undefined) return "";
  const file = /(node_modules\/.*|(services|shared)\/.*|node:.*)$/.exec(frame.url)?.[1] ?? "";
  return `${frame.functionName || "(anonymous)"}${file && ` ${file}:${frame.lineNumber + 1}`}`;
}

/** The functions with the most time or allocations of their own, summed over all callers. */
function costliest(root: Frame): [string, number][] {
  const own = new Map<string, number>();
  const add = (frame: Frame): void => {
    const below = frame.children.reduce((sum, child) => sum + child.value, 0);
    own.set(frame.name, (own.get(frame.name) ?? 0) + frame.value - below);
    frame.children.forEach(add);
  };
  add(root);
  return [...own].sort(([, a], [, b]) => b - a).slice(0, 15);
}
