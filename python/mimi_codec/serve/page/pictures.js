// Pictures that move to the left: spectrograms, and codes as colours.

const STEP = 2; // pixels of a column

class Moving {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d", { willReadFrequently: true });
    this.clear();
  }

  clear() {
    this.pen.fillStyle = "#10141a";
    this.pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  move(width) {
    this.pen.drawImage(this.canvas, -width, 0);
  }
}

/** What an AnalyserNode hears, low tones at the bottom. */
export class Spectrogram extends Moving {
  constructor(canvas, analyser) {
    super(canvas);
    this.analyser = analyser;
    this.levels = new Uint8Array(analyser.frequencyBinCount);
  }

  draw() {
    const { width, height } = this.canvas;
    this.analyser.getByteFrequencyData(this.levels);
    this.move(STEP);
    for (let y = 0; y < height; y++) {
      const level = this.levels[Math.floor((y / height) * this.levels.length)] / 255;
      this.pen.fillStyle = `hsl(${260 - 220 * level} 80% ${6 + 60 * level}%)`;
      this.pen.fillRect(width - STEP, height - 1 - y, STEP, 1);
    }
  }
}

/** Frames of codes: a row for each codebook, the first one at the top, and a colour for each code. Unused ones are pale. */
export class CodePicture extends Moving {
  constructor(canvas, codebooks, size) {
    super(canvas);
    this.codebooks = codebooks;
    this.size = size;
  }

  draw(codes, used) {
    const { width, height } = this.canvas;
    const column = 4 * STEP;
    const row = height / this.codebooks;
    this.move(column);
    codes.forEach((code, k) => {
      const light = k < used ? 55 : 18;
      this.pen.fillStyle = `hsl(${(360 * code) / this.size} ${k < used ? 75 : 25}% ${light}%)`;
      this.pen.fillRect(width - column, k * row, column - 1, Math.max(1, row - 1));
    });
  }
}
