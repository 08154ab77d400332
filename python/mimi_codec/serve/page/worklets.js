// On the sound thread: what the microphone gives, in pieces; and what is to be heard, in order.

const PIECE = 480; // 20 ms at 24 kHz

class Capture extends AudioWorkletProcessor {
  piece = new Float32Array(PIECE);
  held = 0;

  process([input]) {
    for (const sample of input[0] ?? []) {
      this.piece[this.held++] = sample;
      if (this.held === PIECE) {
        this.port.postMessage(this.piece);
        this.held = 0;
      }
    }
    return true;
  }
}

class Playback extends AudioWorkletProcessor {
  waiting = [];
  place = 0; // in the first piece that waits
  samples = 0; // that wait
  playing = false;

  constructor({ processorOptions }) {
    super();
    this.ahead = processorOptions.ahead; // samples that must wait before sound begins
    this.most = processorOptions.most; // samples that may wait: more would be heard too late
    this.port.onmessage = ({ data }) => {
      this.waiting.push(data);
      this.samples += data.length;
      while (this.samples > this.most && this.waiting.length > 1) {
        this.samples -= this.waiting.shift().length - this.place;
        this.place = 0;
      }
    };
  }

  process(_, [output]) {
    this.playing = this.samples > 0 && (this.playing || this.samples >= this.ahead);
    const heard = output[0];
    for (let i = 0; this.playing && i < heard.length && this.waiting.length; i++) {
      heard[i] = this.waiting[0][this.place++];
      this.samples--;
      if (this.place === this.waiting[0].length) {
        this.waiting.shift();
        this.place = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
registerProcessor("playback", Playback);
