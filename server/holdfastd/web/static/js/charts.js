// Draws the charts with uPlot, where a page has it: numbers come with the page, in data-chart.
import { all, onContent } from "./page.js";

const drawn = new WeakMap();
const HEIGHT = 200;
const DAY_S = 86_400;
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A token's colour as the theme in force has it: a canvas knows nothing of light-dark(). */
function colour(token) {
  const probe = document.createElement("i");
  probe.hidden = true;
  probe.style.color = `var(${token})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

const translucent = (rgb, alpha) => rgb.replace(/^rgb\(/, "rgba(").replace(/\)$/, `, ${alpha})`);

const FORMATS = {
  count: (value) => (value == null ? "–" : value.toLocaleString("en", { maximumFractionDigits: 1 })),
  ms: (value) => {
    if (value == null) return "–";
    const three = (number) => Number(number.toPrecision(3));
    if (value >= 60_000) return `${three(value / 60_000)} min`;
    return value >= 1000 ? `${three(value / 1000)} s` : `${three(value)} ms`;
  },
};

/** Words of the axis of time: hours, or days where a step is that long. */
function times(_, splits, _axis, _space, step) {
  const said = step >= DAY_S ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const format = new Intl.DateTimeFormat("en-GB", said);
  return splits.map((seconds) => format.format(new Date(seconds * 1000)));
}

/** Rows of sums, so that one area stands on the other; others stay as they are. */
function stacked(chart) {
  const sums = chart.times.map(() => 0);
  return chart.series.map((series) =>
    series.stacked ? series.values.map((value, i) => (sums[i] += value ?? 0)) : series.values,
  );
}

/** Indexes of values with nothing beside them: a line would not show them. */
function alone(values) {
  return values.flatMap((value, i) =>
    value != null && values[i - 1] == null && values[i + 1] == null ? [i] : [],
  );
}

function tip(chart, format) {
  const box = document.createElement("div");
  box.className = "u-tip";
  box.hidden = true;
  return {
    hooks: {
      init: (plot) => plot.over.append(box),
      setCursor: (plot) => {
        const { idx, left, top } = plot.cursor;
        box.hidden = idx == null || left < 0;
        if (box.hidden) return;
        const when = new Date(chart.times[idx]).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
        box.replaceChildren(Object.assign(document.createElement("span"), { textContent: when }));
        for (const series of chart.series) {
          const row = document.createElement("div");
          const key = document.createElement("span");
          key.className = "key";
          key.style.background = colour(`--${series.state}`);
          const number = document.createElement("b");
          number.textContent = format(series.values[idx]);
          row.append(key, series.name, number);
          box.append(row);
        }
        const isRight = left > plot.over.clientWidth / 2;
        box.style.left = `${isRight ? left - box.offsetWidth - 12 : left + 12}px`;
        box.style.top = `${Math.max(0, Math.min(top, plot.over.clientHeight - box.offsetHeight))}px`;
      },
    },
  };
}

function draw(box) {
  const chart = JSON.parse(box.dataset.chart);
  const format = FORMATS[chart.unit] ?? FORMATS.count;
  const place = box.querySelector(".plot");
  const grid = { stroke: colour("--line"), width: 1 };
  const text = colour("--soft");
  const axis = { stroke: text, grid, ticks: { show: false }, font: `11px ${style("--sans")}` };
  const plain = chart.series.map((series) => {
    const line = colour(`--${series.state}`);
    return {
      label: series.name,
      stroke: line,
      width: series.stacked ? 1.25 : 1.75,
      dash: series.dashed ? [5, 4] : undefined,
      fill: series.stacked ? translucent(line, 0.22) : undefined,
      points: { size: 5, fill: line, filter: (plot, at) => alone(plot.data[at]) },
      spanGaps: false,
    };
  });
  // What stands on top is drawn first, and filled down to what it stands on. For uPlot the times are
  // series 0.
  const order = chart.series.map((_, i) => i).reverse();
  const placeOf = (i) => order.indexOf(i) + 1;
  const values = stacked(chart);
  const bands = chart.series.flatMap((series, i) =>
    series.stacked && i ? [{ series: [placeOf(i), placeOf(i - 1)] }] : [],
  );
  const options = {
    width: place.clientWidth,
    height: HEIGHT,
    padding: [12, 22, 0, 0],
    cursor: { y: false, points: { show: false }, drag: { setScale: false, x: false } },
    legend: { show: false },
    scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, chart.least ?? 1)] } },
    axes: [{ ...axis, size: 30, values: times }, { ...axis, size: 58, values: (_, splits) => splits.map(format) }],
    series: [{}, ...order.map((i) => plain[i])],
    bands,
    plugins: [tip(chart, format)],
  };
  drawn.get(box)?.plot.destroy();
  place.replaceChildren();
  const plot = new uPlot(options, [chart.times.map((ms) => ms / 1000), ...order.map((i) => values[i])], place);
  drawn.set(box, { plot, data: box.dataset.chart });
}

function drawAll(isAnew) {
  for (const box of all("[data-chart]")) {
    if (isAnew || drawn.get(box)?.data !== box.dataset.chart) draw(box);
  }
}

if (window.uPlot) {
  onContent(() => drawAll(false));
  document.addEventListener("holdfast:theme", () => drawAll(true));
  const resized = new ResizeObserver(() => {
    for (const box of all("[data-chart]")) {
      const place = box.querySelector(".plot");
      drawn.get(box)?.plot.setSize({ width: place.clientWidth, height: HEIGHT });
    }
  });
  resized.observe(document.querySelector("main"));
}
