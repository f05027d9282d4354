// The confidence over the last minutes, one colour per label.

const SECONDS = 300;
const GAP = 2.5; // seconds without an answer after which the line breaks

// A dash pattern beside each colour, so that lines differ without it, too.
const DASHES = [[], [7, 3], [2, 2], [8, 3, 2, 3], [1, 3], [10, 4], [4, 4], []];

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function remember(points, time, label, confidence) {
  const last = points.at(-1);
  if (last && time - last[0] < 0.5 && last[1] === label) return;
  points.push([time, label, confidence]);
  while (points[0][0] < time - SECONDS) points.shift();
}

export class Chart {
  constructor(canvas, hue) {
    this.canvas = canvas;
    this.hue = hue;
    this.points = []; // [seconds since 1970, label, confidence]
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  draw(now = this.now) {
    this.now = now ?? Date.now() / 1000;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const scale = devicePixelRatio || 1;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    const box = { left: 44, right: width - 6, top: 8, bottom: height - 22 };
    this.grid(pen, box);
    for (const run of this.runs()) this.line(pen, box, run);
  }

  grid(pen, { left, right, top, bottom }) {
    pen.font = `11px ${getComputedStyle(this.canvas).fontFamily}`;
    pen.fillStyle = css("--faint");
    pen.strokeStyle = css("--rule");
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (const share of [0, 0.5, 1]) {
      const y = Math.round(bottom + (top - bottom) * share) + 0.5;
      pen.beginPath();
      pen.moveTo(left, y);
      pen.lineTo(right, y);
      pen.stroke();
      pen.fillText(`${share * 100} %`, left - 7, y);
    }
    pen.textBaseline = "alphabetic";
    for (let minute = 0; minute <= SECONDS / 60; minute++) {
      const x = right - ((right - left) * minute * 60) / SECONDS;
      pen.textAlign = minute === 0 ? "right" : minute === SECONDS / 60 ? "left" : "center";
      pen.fillText(minute ? `−${minute}${right > 440 ? " min" : ""}` : "now", x, bottom + 17);
    }
  }

  // Unbroken runs of one label; each begins where the previous one ends.
  runs() {
    const runs = [];
    let before = null;
    for (const point of this.points) {
      const joins = before && point[0] - before[0] < GAP;
      if (joins && point[1] === before[1]) runs.at(-1).push(point);
      else runs.push(joins ? [[point[0], point[1], point[2]]] : [point]);
      if (joins && point[1] !== before[1]) runs.at(-2).push([point[0], before[1], before[2]]);
      before = point;
    }
    return runs;
  }

  line(pen, { left, right, top, bottom }, run) {
    const x = time => Math.max(left, right - ((right - left) * (this.now - time)) / SECONDS);
    const y = share => bottom + (top - bottom) * share;
    const name = this.hue(run[0][1]);
    const hue = css(name);
    const end = Math.max(x(run.at(-1)[0]), x(run[0][0]) + 1.5);
    pen.beginPath();
    run.forEach(([time, , share]) => pen.lineTo(x(time), y(share)));
    pen.lineTo(end, y(run.at(-1)[2]));
    pen.strokeStyle = hue;
    pen.lineWidth = 2;
    pen.lineJoin = "round";
    pen.setLineDash(DASHES[Number(name.at(-1))]);
    pen.stroke();
    pen.setLineDash([]);
    pen.lineWidth = 1;
    pen.lineTo(end, bottom);
    pen.lineTo(x(run[0][0]), bottom);
    pen.globalAlpha = 0.16;
    pen.fillStyle = hue;
    pen.fill();
    pen.globalAlpha = 1;
  }
}
