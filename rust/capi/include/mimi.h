/* mimi-codec: Kyutai's Mimi neural audio codec and its relatives. Written by cbindgen from rust/capi/src: do not edit.
 *
 * Rules for all functions:
 *
 * - Status. A function that can fail returns a MimiStatus. If it is not MIMI_OK, nothing has changed: what it should fill
 *   in is as it was, and a stream is as it was before the call. mimi_last_error() says why, for each thread its own.
 * - Threads. A model may be used by any number of threads at once. A stream may be used by any thread, but by one at a
 *   time: a call during another call is refused with MIMI_ERROR_STREAM. What is freed must not be in use.
 * - Fork. A child process may go on with models, and with streams that no thread of the parent used at that moment.
 * - Pointers. Those that go in must point to as many values as the length beside them says, and nobody may write these
 *   during the call; null is allowed where the length is 0, or where the text says so. They are not kept. What comes from
 *   this library is given back once, with the function named for it, and never with free().
 * - Codes and latents are frame by frame: value k of frame t is at [t * width + k]. Samples are mono floats of about
 *   -1 to 1, at the model's rate.
 * - No exception leaves a function, no signal is handled, and nothing is printed, unless the library has a fault.
 */

#ifndef MIMI_H
#define MIMI_H



#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A loaded codec. It never changes: any number of threads may use it at once.
typedef struct MimiModel MimiModel;

// A stream: rows side by side, each a clip of its own.
typedef struct MimiStream MimiStream;

// Codes `(frames, codebooks)`, frame by frame. Give them back with `mimi_codes_free`.
typedef struct MimiCodes {
  // `frames * codebooks` codes; null where there are none.
  uint32_t *data;
  // Frames.
  size_t frames;
  // Codes in each frame.
  size_t codebooks;
} MimiCodes;

// Latents `(frames, dim)`, frame by frame. Give them back with `mimi_latents_free`.
typedef struct MimiLatents {
  // `frames * dim` floats; null where there are none.
  float *data;
  // Frames.
  size_t frames;
  // Floats in each frame.
  size_t dim;
} MimiLatents;

// Samples. Give them back with `mimi_pcm_free`.
typedef struct MimiPcm {
  // Samples, about -1 to 1; null where there are none.
  float *data;
  // How many there are.
  size_t samples;
} MimiPcm;

// Bytes. Give them back with `mimi_bytes_free`.
typedef struct MimiBytes {
  // The bytes; null where there are none.
  uint8_t *data;
  // How many there are.
  size_t length;
} MimiBytes;

// How a call ended: `MIMI_OK`, or why it failed. A call that failed has changed nothing.
typedef int32_t MimiStatus;

// What follows the last sample of a clip that does not end with a frame: one of the `MIMI_PADDING_` numbers.
typedef uint32_t MimiPadding;

// The halves of a codec that are loaded: one of the `MIMI_PARTS_` numbers.
typedef uint32_t MimiParts;

// How large weights are kept in memory: one of the `MIMI_DTYPE_` numbers. Arithmetic is in float32 in any case.
typedef uint32_t MimiDtype;

// What to load, and how to run it. Begin with `mimi_options_default`.
typedef struct MimiOptions {
  // The halves of the codec that are loaded.
  MimiParts parts;
  // How large weights are kept in memory.
  MimiDtype dtype;
  // The first so many codebooks; 0 for all.
  size_t codebooks;
  // Threads that work on one call; no more are used than the process has processors.
  size_t threads;
  // Where the codec runs; null for the processor, "cpu".
  const char *device;
  // Which module of a larger model is meant where its files hold several codecs; null where they hold one.
  const char *module;
} MimiOptions;

// What a stream takes and gives: `MIMI_TO_CODES`, `MIMI_TO_LATENTS`, `MIMI_FROM_CODES` or `MIMI_FROM_LATENTS`.
typedef uint32_t MimiDirection;

// Encoder and decoder.
#define MIMI_PARTS_BOTH 0

// The encoder alone.
#define MIMI_PARTS_ENCODER 1

// The decoder alone.
#define MIMI_PARTS_DECODER 2

// As they are.
#define MIMI_DTYPE_FLOAT32 0

// The upper half of each float32.
#define MIMI_DTYPE_BFLOAT16 1

// Eight bits, with a scale for each column of 128 depths.
#define MIMI_DTYPE_INT8 2

// As they are in a packed or compact file; float32 for other files.
#define MIMI_DTYPE_AUTO 3

// Each convolution fills up its own input, as Transformers does it.
#define MIMI_PADDING_TRANSFORMERS 0

// The clip is filled up with zeros to a whole frame, as Kyutai's moshi does it.
#define MIMI_PADDING_MOSHI 1

// All went well.
#define MIMI_OK 0

// An argument is not what the function takes: a null pointer, an unknown number, text that is not UTF-8.
#define MIMI_ERROR_ARGUMENT 1

// An option, or a field of the configuration, that is not supported; a half of the codec that was not loaded.
#define MIMI_ERROR_CONFIG 2

// A file that is missing, damaged or not a codec.
#define MIMI_ERROR_FILE 3

// Weights that do not fit the configuration.
#define MIMI_ERROR_WEIGHTS 4

// Samples that cannot be encoded: not finite, or far too large.
#define MIMI_ERROR_AUDIO 5

// Codes that cannot be decoded, or a wrong number of codebooks.
#define MIMI_ERROR_CODES 6

// Latents that cannot be decoded.
#define MIMI_ERROR_LATENTS 7

// A stream used in a way that its direction or state does not allow, or by two threads at once.
#define MIMI_ERROR_STREAM 8

// A device that is not there.
#define MIMI_ERROR_DEVICE 9

// There is not enough memory.
#define MIMI_ERROR_MEMORY 10

// Sums overflowed because of the weights.
#define MIMI_ERROR_NUMERIC 11

// A fault of this library.
#define MIMI_ERROR_INTERNAL 12

// From samples to codes.
#define MIMI_TO_CODES 0

// From samples to latents, before the quantizer.
#define MIMI_TO_LATENTS 1

// From codes to samples.
#define MIMI_FROM_CODES 2

// From latents, as the quantizer gives them, to samples.
#define MIMI_FROM_LATENTS 3

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Gives codes back; nothing is done for null or for empty ones.
void mimi_codes_free(struct MimiCodes *codes);

// Gives latents back; nothing is done for null or for empty ones.
void mimi_latents_free(struct MimiLatents *latents);

// Gives samples back; nothing is done for null or for empty ones.
void mimi_pcm_free(struct MimiPcm *pcm);

// Gives bytes back; nothing is done for null or for empty ones.
void mimi_bytes_free(struct MimiBytes *bytes);

// The first `codebooks` codes of each frame of a clip of samples, at the model's rate, into `*codes`.
MimiStatus mimi_encode(const struct MimiModel *model,
                       const float *pcm,
                       size_t samples,
                       size_t codebooks,
                       MimiPadding padding,
                       struct MimiCodes *codes);

// The latents of a clip of samples, before the quantizer, into `*latents`.
MimiStatus mimi_encode_latents(const struct MimiModel *model,
                               const float *pcm,
                               size_t samples,
                               MimiPadding padding,
                               struct MimiLatents *latents);

// The samples of a clip of codes `(frames, codebooks)`, frame by frame, into `*pcm`.
MimiStatus mimi_decode(const struct MimiModel *model,
                       const uint32_t *codes,
                       size_t frames,
                       size_t codebooks,
                       struct MimiPcm *pcm);

// The samples of a clip of latents `(frames, dim)`, frame by frame, into `*pcm`.
MimiStatus mimi_decode_latents(const struct MimiModel *model,
                               const float *latents,
                               size_t frames,
                               size_t dim,
                               struct MimiPcm *pcm);

// The first `codebooks` codes of latents `(frames, dim)`, as the encoder gives them, into `*codes`.
MimiStatus mimi_latents_to_codes(const struct MimiModel *model,
                                 const float *latents,
                                 size_t frames,
                                 size_t dim,
                                 size_t codebooks,
                                 struct MimiCodes *codes);

// The latents that codes `(frames, codebooks)` stand for, as the decoder takes them, into `*latents`.
MimiStatus mimi_codes_to_latents(const struct MimiModel *model,
                                 const uint32_t *codes,
                                 size_t frames,
                                 size_t codebooks,
                                 struct MimiLatents *latents);

// The version of this library, such as "0.1.0".
const char *mimi_version(void);

// Loads a codec from a directory (`config.json` and `model.safetensors`, an index of several, or the only `.safetensors`
// file), a `.safetensors` file, or an index, into `*model`. `options` may be null for the usual ones.
MimiStatus mimi_model_load(const char *path,
                           const struct MimiOptions *options,
                           struct MimiModel **model);

// Loads a codec from the `weights_length` bytes of a `.safetensors` file, and the text of its `config.json` (null where there
// is none), into `*model`. The bytes are not needed afterwards. `options` may be null for the usual ones.
MimiStatus mimi_model_from_bytes(const uint8_t *weights,
                                 size_t weights_length,
                                 const char *config,
                                 const struct MimiOptions *options,
                                 struct MimiModel **model);

// Writes what was loaded of a model's weights to the file `path`, as this processor's kernels read them: a file that
// `mimi_model_load` maps instead of reading it, with the same options. A file that is there is replaced.
MimiStatus mimi_model_save_packed(const struct MimiModel *model, const char *path);

// Writes what was loaded of a model to the file `path`, as small as it can be with weights kept in `dtype`, read once more from
// where it was loaded: a file for every processor. `MIMI_DTYPE_AUTO` is the type of the model. A file that is there is replaced.
MimiStatus mimi_model_save_compact(const struct MimiModel *model,
                                   const char *path,
                                   MimiDtype dtype);

// Gives a model back. Its streams keep what they need of it. Nothing is done for null.
void mimi_model_free(struct MimiModel *model);

// Which codec it is, such as "mimi"; the text lives as long as the model. Null for a null pointer.
const char *mimi_model_kind(const struct MimiModel *model);

// Samples per second.
size_t mimi_model_sample_rate(const struct MimiModel *model);

// Frames per second.
double mimi_model_frame_rate(const struct MimiModel *model);

// Samples in a frame.
size_t mimi_model_frame_size(const struct MimiModel *model);

// Samples by which a decoded clip is shorter than its frames, as the decoder looks ahead; 0 for most codecs.
size_t mimi_model_delay(const struct MimiModel *model);

// Codebooks loaded; 0 for a codec of continuous latents.
size_t mimi_model_codebooks(const struct MimiModel *model);

// Entries of a codebook: codes are less than that.
size_t mimi_model_codebook_size(const struct MimiModel *model);

// Floats of a latent that the encoder gives; 0 where it is not loaded.
size_t mimi_model_encoder_latent_dim(const struct MimiModel *model);

// Floats of a latent that the decoder takes; 0 where it is not loaded.
size_t mimi_model_decoder_latent_dim(const struct MimiModel *model);

// Whether the encoder is loaded.
bool mimi_model_has_encoder(const struct MimiModel *model);

// Whether the decoder is loaded.
bool mimi_model_has_decoder(const struct MimiModel *model);

// Bytes that the weights take in memory.
size_t mimi_model_weight_bytes(const struct MimiModel *model);

// Both halves, all codebooks, weights as `MIMI_DTYPE_AUTO` says, one thread, on the processor.
struct MimiOptions mimi_options_default(void);

// What the last call that failed on this thread has to say, in English: what was expected, and what came. Empty where none
// has failed. The text is valid until the next call fails on this thread.
const char *mimi_last_error(void);

// A stream of `rows` rows, into `*stream`. `codebooks` are the codes that `MIMI_TO_CODES` gives for each frame; the other
// directions do not look at it.
MimiStatus mimi_stream_new(const struct MimiModel *model,
                           MimiDirection direction,
                           size_t codebooks,
                           size_t rows,
                           struct MimiStream **stream);

// A stream that goes on from here on its own, into `*copy`. It has no output yet.
MimiStatus mimi_stream_copy(const struct MimiStream *stream, struct MimiStream **copy);

// Gives a stream back, and what it gave last. Nothing is done for null.
void mimi_stream_free(struct MimiStream *stream);

// Gives samples to the rows of a stream to codes or latents: to row r the `samples[r]` samples at `pcm[r]`, as many as there
// are. A row whose `pcm[r]` is null rests. What the rows have is then in `mimi_stream_codes` or `mimi_stream_latents`.
MimiStatus mimi_stream_push_pcm(struct MimiStream *stream,
                                const float *const *pcm,
                                const size_t *samples);

// Gives codes to the rows of a stream from codes: to row r the `frames[r]` frames of `codebooks` codes at `codes[r]`. A row
// whose `codes[r]` is null rests. What the rows have is then in `mimi_stream_pcm`.
MimiStatus mimi_stream_push_codes(struct MimiStream *stream,
                                  const uint32_t *const *codes,
                                  const size_t *frames,
                                  size_t codebooks);

// Gives latents to the rows of a stream from latents: to row r the `frames[r]` frames of `dim` floats at `latents[r]`. A row
// whose `latents[r]` is null rests. What the rows have is then in `mimi_stream_pcm`.
MimiStatus mimi_stream_push_latents(struct MimiStream *stream,
                                    const float *const *latents,
                                    const size_t *frames,
                                    size_t dim);

// Ends the clips of the rows whose `mask[r]` is not 0, of all rows for a null pointer: gives the frame that was not whole, if
// any. A row takes no more until it is reset.
MimiStatus mimi_stream_flush(struct MimiStream *stream,
                             const uint8_t *mask,
                             MimiPadding padding);

// Makes the rows whose `mask[r]` is not 0, all rows for a null pointer, as they were at the start.
MimiStatus mimi_stream_reset(struct MimiStream *stream, const uint8_t *mask);

// The codes `(frames, codebooks)` that the last push or flush gave a row, into `*codes` and `*frames`. They belong to the
// stream until its next push or flush, or until it is freed.
MimiStatus mimi_stream_codes(const struct MimiStream *stream,
                             size_t row,
                             const uint32_t **codes,
                             size_t *frames);

// The latents `(frames, dim)` that the last push or flush gave a row, into `*latents` and `*frames`. They belong to the
// stream until its next push or flush, or until it is freed.
MimiStatus mimi_stream_latents(const struct MimiStream *stream, size_t row, const float **latents, size_t *frames);

// The samples that the last push or flush gave a row, into `*pcm` and `*samples`. They belong to the stream until its next
// push or flush, or until it is freed.
MimiStatus mimi_stream_pcm(const struct MimiStream *stream,
                           size_t row,
                           const float **pcm,
                           size_t *samples);

// How many rows a stream has, into `*rows`.
MimiStatus mimi_stream_rows(const struct MimiStream *stream, size_t *rows);

// How far a row is: the frames that it has seen since its start into `*frames`, and the samples that it holds back until they
// are a frame into `*pending`.
MimiStatus mimi_stream_position(const struct MimiStream *stream,
                                size_t row,
                                uint64_t *frames,
                                size_t *pending);

// All that a stream remembers of the `count` rows named at `rows`, of all rows for a null pointer, as bytes into `*state`.
MimiStatus mimi_stream_save(const struct MimiStream *stream,
                            const size_t *rows,
                            size_t count,
                            struct MimiBytes *state);

// Goes on with the `count` rows named at `rows`, with all rows for a null pointer, from the `length` bytes that
// `mimi_stream_save` gave for as many rows of a stream of the same kind and model.
MimiStatus mimi_stream_load(struct MimiStream *stream,
                            const uint8_t *state,
                            size_t length,
                            const size_t *rows,
                            size_t count);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MIMI_H */
