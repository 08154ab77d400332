// The page: microphone, session, loudspeaker and pictures, joined.

import { CodePicture, Spectrogram } from "./pictures.js";
import { connect } from "./wire.js";

const MOST_SECONDS_WAITING = 0.5;
const FRAMES_AHEAD = 1.5; // that wait before sound begins, so that a late frame is not heard as a gap

const by = (id) => document.getElementById(id);
const speak = by("speak");
const books = by("codebooks");
const status = by("status");

let running = null;

function say(text, isError = false) {
  status.textContent = text;
  status.classList.toggle("error", isError);
}

/** One time from the press of the button to the next: all that is made for it, and how it ends. */
class Conversation {
  frames = 0;
  sent = 0; // samples
  times = []; // when the last sample of each frame was sent, for frames that have not come back
  ended = false;

  async begin() {
    this.microphone = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
    this.session = await connect({
      hello: (hello) => this.know(hello),
      codes: (frames) => this.coded(frames),
      samples: (samples) => this.heard(samples),
      error: (message) => this.end(message),
      closed: () => this.end("The connection was closed."),
    });
    await this.join();
    say("Speak: you hear yourself from the codes.");
  }

  know(hello) {
    this.hello = hello;
    books.max = hello.codebooks;
    this.codes = new CodePicture(by("codes"), hello.codebooks, hello.codebook_size);
    by("model").textContent = `${hello.model}, mimi-codec ${hello.package}`;
    describe(hello);
  }

  /** Microphone and loudspeaker at the model's rate: the browser resamples. */
  async join() {
    const rate = this.hello.sample_rate;
    const context = (this.context = new AudioContext({ sampleRate: rate }));
    await context.audioWorklet.addModule("/worklets.js");
    const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    capture.port.onmessage = ({ data }) => this.spoken(data);
    const options = { ahead: FRAMES_AHEAD * this.hello.frame_size, most: MOST_SECONDS_WAITING * rate };
    this.playback = new AudioWorkletNode(context, "playback", {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: options,
    });
    const volume = new GainNode(context, { gain: Number(by("volume").value) });
    by("volume").oninput = () => (volume.gain.value = Number(by("volume").value));
    const source = context.createMediaStreamSource(this.microphone);
    const [before, after] = [0, 1].map(() => new AnalyserNode(context, { fftSize: 512, smoothingTimeConstant: 0 }));
    source.connect(capture);
    source.connect(before);
    this.playback.connect(after);
    this.playback.connect(volume).connect(context.destination);
    this.pictures = [new Spectrogram(by("before"), before), new Spectrogram(by("after"), after)];
    await context.resume();
    this.draw();
  }

  spoken(samples) {
    const size = this.hello.frame_size;
    const whole = Math.floor(this.sent / size);
    this.sent += samples.length;
    if (Math.floor(this.sent / size) > whole) this.times.push(performance.now());
    this.session.sendSamples(samples);
  }

  /** Codes have come: send the first of each frame back, as many as the slider says. */
  coded(frames) {
    const used = Number(books.value);
    this.session.sendCodes(frames.map((codes) => codes.slice(0, used)));
    frames.forEach((codes) => this.codes.draw(codes, used));
    this.frames += frames.length;
    by("frames").textContent = this.frames;
  }

  heard(samples) {
    for (let i = 0; i < Math.round(samples.length / this.hello.frame_size); i++) {
      by("delay").textContent = `${Math.round(performance.now() - this.times.shift())} ms`;
    }
    by("samples").textContent = Number(by("samples").textContent) + samples.length;
    this.playback.port.postMessage(samples);
  }

  draw() {
    if (this.ended) return;
    this.pictures.forEach((picture) => picture.draw());
    requestAnimationFrame(() => this.draw());
  }

  end(reason = null) {
    if (this.ended) return;
    this.ended = true;
    this.microphone?.getTracks().forEach((track) => track.stop());
    this.session?.close();
    this.context?.close();
    running = null;
    speak.textContent = "Speak";
    say(reason ?? "Stopped.", reason !== null);
  }
}

function describe(hello) {
  const used = Number(books.value);
  by("used").textContent = `${used} of ${hello?.codebooks ?? books.max}`;
  if (hello) by("rate").textContent = `${Math.round(used * hello.bits_per_code * hello.frame_rate)} bits per second`;
}

books.oninput = () => describe(running?.hello);

speak.onclick = async () => {
  if (running) {
    running.end();
    return;
  }
  const conversation = (running = new Conversation());
  by("frames").textContent = by("samples").textContent = "0";
  speak.textContent = "Stop";
  say("Asking for the microphone and a session...");
  try {
    await conversation.begin();
  } catch (error) {
    conversation.end(`${error.message || error.name}`);
  }
};
