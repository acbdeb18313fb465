// @ts-check
// Curves over steps by uPlot: one line per run and series. Charts of one group share the hovered step.

import uPlot from "../../uplot/uPlot.esm.js";
import { createLegend, spoken, summary } from "./chart_legend.js";
import { resolved } from "./colour.js";
import { empty, freshId, h, say } from "./dom.js";
import { short, tick } from "./format.js";
import { align, peak } from "./scales.js";

/** @import { Run, Translate } from "./types.js" */
/** @import { Drawn, Line } from "./chart_legend.js" */

const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
/** Peaks of more lines than this are drawn without words. */
const MOST_NAMED_PEAKS = 4;
const STEP_INCREMENTS = [1, 2, 5].flatMap((n) => [n, n * 10, n * 100, n * 1000, n * 10000]).sort((a, b) => a - b);

/** One step alone still gets an axis. @param {unknown} _ @param {number} low @param {number} high @returns {[number, number]} */
function range(_, low, high) {
  return [low, Math.max(high, low + 1)];
}

/**
 * @param {HTMLElement} root
 * @param {{t: Translate, title: string, series: {metric: string, label: string}[], group: string, marker?: "peak"}} options
 */
export function createChart(root, { t, title, series, group, marker }) {
  /** @type {Run[]} */
  let runs = [];
  /** @type {any} */
  let plot = null;
  /** What `plot` was built for: other lines or colours need another one. */
  let built = "";
  let peakInk = "";
  /** @type {Drawn} */
  let drawn = { lines: [], steps: [], columns: [] };
  const legend = createLegend(t);
  const heading = h("span", { class: "view-title", id: freshId("chart") });
  const hint = h("span", { class: "view-hidden", id: freshId("hint") });
  const box = h("div", {
    class: "view-chart-box",
    tabindex: 0,
    role: "group",
    "aria-labelledby": heading.id,
    "aria-describedby": hint.id,
    keydown: byKey,
    blur: leave,
  });
  const live = h("p", { class: "view-hidden", role: "status" });
  const words = h("p", { class: "view-hidden" });
  root.classList.add("view", "view-chart");

  function draw() {
    const all = align(
      runs,
      series.map(({ metric }) => metric),
    );
    const kept = linesOf().flatMap((line, i) => (all[i + 1].some((value) => value !== null) ? [{ line, column: all[i + 1] }] : []));
    drawn = { lines: kept.map(({ line }) => line), steps: /** @type {number[]} */ (all[0]), columns: kept.map(({ column }) => column) };
    if (kept.length === 0) return clear();
    const wanted = JSON.stringify(drawn.lines);
    if (plot === null || built !== wanted) build(wanted);
    else plot.setData(data());
    legend.show(drawn, plot.cursor.idx ?? null);
    words.textContent = summary(t, drawn);
  }

  function clear() {
    plot?.destroy();
    plot = null;
    root.replaceChildren(h("p", { class: "view-title" }, say(t, title)), empty(t, "chart"));
  }

  /** @param {string} wanted */
  function build(wanted) {
    plot?.destroy();
    built = wanted;
    heading.textContent = say(t, title);
    hint.textContent = t("view.chart.keys");
    legend.name(drawn.lines);
    box.replaceChildren();
    root.replaceChildren(h("figure", {}, h("figcaption", {}, heading, legend.when), box, legend.list, words, live));
    plot = new uPlot(settings(), data(), box);
  }

  /** @returns {Line[]} */
  function linesOf() {
    return runs.flatMap((run) =>
      series.map(({ label }, i) => {
        const names = [runs.length > 1 || series.length === 1 ? run.name : "", series.length > 1 ? say(t, label) : ""];
        return { name: names.filter((name) => name !== "").join(" · "), color: run.color, dash: DASHES[i % DASHES.length] };
      }),
    );
  }

  /** @returns {any} steps, then one column per line */
  function data() {
    return [drawn.steps, ...drawn.columns];
  }

  function settings() {
    const [ink, grid] = [resolved(root, "--quiet"), resolved(root, "--line")];
    peakInk = resolved(root, "--ink");
    const axis = { stroke: ink, font: "12px system-ui, sans-serif", grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    return {
      width: box.clientWidth || 300,
      height: box.clientHeight || 200,
      legend: { show: false },
      scales: { x: { time: false, range } },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: group } },
      axes: [
        { ...axis, size: 28, incrs: STEP_INCREMENTS },
        {
          ...axis,
          size: 50,
          values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map((value) => tick(value, at.length > 1 ? at[1] - at[0] : 1)),
        },
      ],
      series: [
        {},
        ...drawn.lines.map(({ color, dash }) => ({
          stroke: resolved(root, `--series-${color}`),
          dash,
          width: 2.5,
          spanGaps: true,
          points: { show: drawn.steps.length < 2 },
        })),
      ],
      hooks: {
        setCursor: [(/** @type {any} */ u) => legend.show(drawn, u.cursor.idx ?? null)],
        draw: marker === "peak" ? [drawPeaks] : [],
      },
    };
  }

  /** @param {any} u */
  function drawPeaks(u) {
    const ratio = devicePixelRatio;
    drawn.columns.forEach((column, i) => {
      const top = peak(column);
      if (top === null) return;
      const [x, y] = [u.valToPos(drawn.steps[top.index], "x", true), u.valToPos(top.value, "y", true)];
      u.ctx.save();
      u.ctx.strokeStyle = u.ctx.fillStyle = u.series[i + 1].stroke();
      u.ctx.lineWidth = 2 * ratio;
      u.ctx.setLineDash([]);
      u.ctx.beginPath();
      u.ctx.arc(x, y, 6 * ratio, 0, 2 * Math.PI);
      u.ctx.stroke();
      if (drawn.columns.length <= MOST_NAMED_PEAKS) {
        u.ctx.font = `600 ${12 * ratio}px system-ui, sans-serif`;
        u.ctx.fillStyle = peakInk;
        u.ctx.textAlign = x > u.bbox.left + u.bbox.width * 0.7 ? "right" : "left";
        u.ctx.fillText(
          t("view.chart.peak", { value: short(top.value) }),
          x + (u.ctx.textAlign === "right" ? -10 : 10) * ratio,
          Math.max(y - 8 * ratio, u.bbox.top + 12 * ratio),
        );
      }
      u.ctx.restore();
    });
  }

  /** @param {KeyboardEvent} event */
  function byKey(event) {
    const last = drawn.steps.length - 1;
    const at = plot?.cursor.idx ?? last;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (plot === null || to === undefined) return;
    event.preventDefault();
    const index = Math.max(0, Math.min(last, to));
    plot.setCursor({ left: plot.valToPos(drawn.steps[index], "x"), top: plot.over.clientHeight / 2 }, true, true);
    live.textContent = spoken(t, drawn, index);
  }

  function leave() {
    plot?.setCursor({ left: -10, top: -10 }, true, true);
  }

  new ResizeObserver(() => {
    if (plot !== null && box.clientWidth > 0) plot.setSize({ width: box.clientWidth, height: box.clientHeight });
  }).observe(box);
  draw();
  return {
    /** @param {Run[] | null} next */
    update(next) {
      runs = next ?? [];
      draw();
    },
    relabel() {
      built = "";
      draw();
    },
  };
}
