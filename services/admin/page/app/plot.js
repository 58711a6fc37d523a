/** A line plot over time that keeps its uPlot between two draws. */
import { html } from "lit-html";
import { ref } from "lit-html/directives/ref.js";
import uPlot from "uplot";
import { count } from "./format.js";

const height = 220;

/** As a canvas takes it: the value of a custom property is a text, which only a property of CSS resolves. @param {string} name */
function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** @typedef {{ label: string, colour: string }} Line */

export class Plot {
  /** @param {readonly Line[]} lines @param {string} label  for people who do not see it */
  constructor(lines, label) {
    this.lines = lines;
    this.label = label;
    /** @type {uPlot | undefined} */
    this.plot = undefined;
    /** @type {ResizeObserver | undefined} */
    this.observer = undefined;
    /** @type {Element | undefined} */
    this.element = undefined;
    /** @type {uPlot.AlignedData} */
    this.data = [[]];
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", () => this.rebuild());
    this.attach = ref((element) => this.place(element));
  }

  /** @param {uPlot.AlignedData} data  seconds, then the values of each line */
  draw(data) {
    this.data = data;
    this.plot?.setData(data);
    return html`<div class="plot" role="img" aria-label=${this.label} ${this.attach}></div>`;
  }

  /** @param {Element | undefined} element */
  place(element) {
    if (element === this.element) return;
    this.observer?.disconnect();
    this.plot?.destroy();
    this.plot = undefined;
    this.element = element;
    if (element === undefined) return;
    this.observer = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width === 0) return;
      if (this.plot === undefined) this.build(width);
      else if (this.plot.width !== width) this.plot.setSize({ width, height });
    });
    this.observer.observe(element);
  }

  rebuild() {
    const width = this.plot?.width;
    this.plot?.destroy();
    this.plot = undefined;
    if (width !== undefined) this.build(width);
  }

  /** @param {uPlot} plot */
  readOut(plot) {
    const index = plot.cursor.idx;
    const at = index === null || index === undefined ? undefined : plot.data[0][index];
    const output = this.element?.querySelector(".readout") ?? document.createElement("p");
    output.className = "readout";
    output.textContent =
      at === undefined
        ? ""
        : [
            new Date(at * 1000).toLocaleTimeString("en-GB"),
            ...this.lines.flatMap(({ label }, line) => {
              const value = plot.data[line + 1]?.[index ?? 0];
              return value === null || value === undefined || value === 0 ? [] : [`${count(value)} ${label}`];
            }),
          ].join("   ");
    this.element?.append(output);
  }

  /** @param {number} width */
  build(width) {
    if (this.element === undefined) return;
    const axis = {
      stroke: colour("--quiet"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { stroke: colour("--line"), width: 1 },
      font: "12px system-ui",
    };
    this.plot = new uPlot(
      {
        width,
        height,
        cursor: { y: false, drag: { x: false, y: false } },
        // The table below has the colours; the values at the pointer stand above the curves.
        legend: { show: false },
        hooks: { setCursor: [(plot) => this.readOut(plot)] },
        scales: { y: { range: (_plot, _least, most) => [0, Math.max(5, (most ?? 0) * 1.1)] } },
        axes: [
          { ...axis, values: "{HH}:{mm}", space: 70 },
          {
            ...axis,
            size: 56,
            incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5],
          },
        ],
        series: [
          {},
          ...this.lines.map(({ label, colour: name }) => ({
            label,
            stroke: colour(name),
            width: 2,
            points: { show: false },
          })),
        ],
      },
      this.data,
      /** @type {HTMLElement} */ (this.element),
    );
  }
}
