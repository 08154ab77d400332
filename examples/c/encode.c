/* Prints the codes of speech from standard input as it comes: s16le, mono, at the model's rate.
 *
 *     cc encode.c $(pkg-config --cflags --libs mimi) -o encode
 *     ffmpeg -i speech.flac -ac 1 -ar 24000 -f s16le - | ./encode kyutai-mimi 8
 */
#include <mimi.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the program with the library's own words where a call failed. */
static void check(MimiStatus status) {
    if (status != MIMI_OK) {
        fprintf(stderr, "encode: %s\n", mimi_last_error());
        exit(1);
    }
}

/* A line for each frame that the stream has given. */
static void print_codes(const MimiStream *stream, size_t codebooks) {
    const uint32_t *codes;
    size_t frames;
    check(mimi_stream_codes(stream, 0, &codes, &frames));
    for (size_t i = 0; i < frames * codebooks; i++) {
        printf("%u%c", (unsigned)codes[i], (i + 1) % codebooks == 0 ? '\n' : ' ');
    }
}

int main(int argc, char **argv) {
    enum { BLOCK = 960 }; /* samples; any number will do */
    unsigned char bytes[2 * BLOCK];
    float pcm[BLOCK];
    const float *rows[] = {pcm};
    size_t length;

    if (argc != 3) {
        fprintf(stderr, "usage: encode MODEL CODEBOOKS < SAMPLES\n");
        return 2;
    }
    MimiOptions options = mimi_options_default();
    options.parts = MIMI_PARTS_ENCODER;
    options.codebooks = (size_t)atoi(argv[2]);
    MimiModel *model = NULL;
    check(mimi_model_load(argv[1], &options, &model));
    MimiStream *stream = NULL;
    check(mimi_stream_new(model, MIMI_TO_CODES, options.codebooks, 1, &stream));
    mimi_model_free(model); /* the stream keeps what it needs */

    while ((length = fread(bytes, 2, BLOCK, stdin)) > 0) {
        for (size_t i = 0; i < length; i++) {
            pcm[i] = (float)(int16_t)(uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8) / 32768.0f;
        }
        check(mimi_stream_push_pcm(stream, rows, &length));
        print_codes(stream, options.codebooks);
        fflush(stdout);
    }
    check(mimi_stream_flush(stream, NULL, MIMI_PADDING_TRANSFORMERS));
    print_codes(stream, options.codebooks);
    mimi_stream_free(stream);
    return 0;
}
