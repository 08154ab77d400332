/* Every function of mimi.h, with what it takes and what it refuses; run by scripts/check-capi.sh, under valgrind. */
#include <mimi.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CODEBOOKS 4
#define FRAMES 5

#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            fprintf(stderr, "line %d: %s: %s\n", __LINE__, #condition, mimi_last_error());   \
            exit(1);                                                                         \
        }                                                                                    \
    } while (0)
#define OK(call) CHECK((call) == MIMI_OK)
/* A call that fails so, with words that have `part` in them. */
#define REFUSED(call, status, part) CHECK((call) == (status) && strstr(mimi_last_error(), (part)))

static char *read_file(const char *directory, const char *name, size_t *length) {
    char path[4096];
    snprintf(path, sizeof path, "%s%s%s", directory, *directory ? "/" : "", name);
    FILE *file = fopen(path, "rb");
    CHECK(file && fseek(file, 0, SEEK_END) == 0);
    *length = (size_t)ftell(file);
    rewind(file);
    char *bytes = calloc(*length + 1, 1);
    CHECK(bytes && fread(bytes, 1, *length, file) == *length);
    fclose(file);
    return bytes;
}

static MimiModel *load(const char *directory) {
    size_t weights_length, config_length;
    char *weights = read_file(directory, "model.safetensors", &weights_length);
    char *config = read_file(directory, "config.json", &config_length);
    MimiOptions options = mimi_options_default();
    options.codebooks = CODEBOOKS;
    options.threads = 2;
    options.device = "cpu";
    MimiModel *model = NULL;
    OK(mimi_model_from_bytes((const uint8_t *)weights, weights_length, config, &options, &model));

    MimiModel *other = NULL;
    REFUSED(mimi_model_from_bytes((const uint8_t *)weights, 100, config, NULL, &other), MIMI_ERROR_FILE, "in memory");
    REFUSED(mimi_model_from_bytes(NULL, 100, config, NULL, &other), MIMI_ERROR_ARGUMENT, "null");
    REFUSED(mimi_model_load("not there", NULL, &other), MIMI_ERROR_FILE, "not there");
    REFUSED(mimi_model_load(NULL, NULL, &other), MIMI_ERROR_ARGUMENT, "a path");
    REFUSED(mimi_model_load("\xff", NULL, &other), MIMI_ERROR_ARGUMENT, "UTF-8");
    REFUSED(mimi_model_load(directory, NULL, NULL), MIMI_ERROR_ARGUMENT, "a place");
    options.parts = 3;
    REFUSED(mimi_model_load(directory, &options, &other), MIMI_ERROR_ARGUMENT, "got 3");
    options.parts = MIMI_PARTS_BOTH;
    options.device = "toaster";
    REFUSED(mimi_model_load(directory, &options, &other), MIMI_ERROR_DEVICE, "toaster");
    CHECK(other == NULL);
    free(weights);
    free(config);
    return model;
}

/* The same model from a packed file gives the same codes. */
static void packed(const MimiModel *model, const char *path, const float *pcm, size_t samples, const MimiCodes *codes) {
    MimiOptions options = mimi_options_default();
    MimiModel *mapped = NULL;
    MimiCodes same = {0};
    OK(mimi_model_save_packed(model, path));
    OK(mimi_model_load(path, &options, &mapped));
    CHECK(mimi_model_codebooks(mapped) == CODEBOOKS);
    OK(mimi_encode(mapped, pcm, samples, CODEBOOKS, MIMI_PADDING_TRANSFORMERS, &same));
    CHECK(memcmp(codes->data, same.data, sizeof(uint32_t) * FRAMES * CODEBOOKS) == 0);
    mimi_codes_free(&same);
    mimi_model_free(mapped);
    REFUSED(mimi_model_save_packed(NULL, path), MIMI_ERROR_ARGUMENT, "a model");
    REFUSED(mimi_model_save_packed(model, NULL), MIMI_ERROR_ARGUMENT, "a path");
    REFUSED(mimi_model_save_packed(model, "no/such/place"), MIMI_ERROR_FILE, "place");
}

/* A compact file of int8 gives the codes of the model's own files in int8, from its path and from memory. */
static void compact(const char *directory, const char *path, const float *pcm, size_t samples) {
    MimiOptions options = mimi_options_default();
    MimiModel *models[3] = {NULL, NULL, NULL};
    MimiCodes codes[3] = {{0}, {0}, {0}};
    size_t length = 0;
    options.codebooks = CODEBOOKS;
    options.dtype = MIMI_DTYPE_INT8;
    OK(mimi_model_load(directory, &options, &models[0]));
    OK(mimi_model_save_compact(models[0], path, MIMI_DTYPE_AUTO));
    options = mimi_options_default();
    OK(mimi_model_load(path, &options, &models[1]));
    char *bytes = read_file("", path, &length);
    OK(mimi_model_from_bytes((const uint8_t *)bytes, length, NULL, NULL, &models[2]));
    free(bytes);
    for (int i = 0; i < 3; i++) {
        CHECK(mimi_model_weight_bytes(models[i]) == mimi_model_weight_bytes(models[0]));
        OK(mimi_encode(models[i], pcm, samples, CODEBOOKS, MIMI_PADDING_TRANSFORMERS, &codes[i]));
        CHECK(memcmp(codes[i].data, codes[0].data, sizeof(uint32_t) * FRAMES * CODEBOOKS) == 0);
    }
    MimiModel *other = NULL;
    options.dtype = MIMI_DTYPE_FLOAT32;
    REFUSED(mimi_model_load(path, &options, &other), MIMI_ERROR_CONFIG, "int8");
    REFUSED(mimi_model_save_compact(NULL, path, MIMI_DTYPE_AUTO), MIMI_ERROR_ARGUMENT, "a model");
    REFUSED(mimi_model_save_compact(models[0], NULL, MIMI_DTYPE_AUTO), MIMI_ERROR_ARGUMENT, "a path");
    REFUSED(mimi_model_save_compact(models[0], path, 4), MIMI_ERROR_ARGUMENT, "got 4");
    REFUSED(mimi_model_save_compact(models[2], path, MIMI_DTYPE_AUTO), MIMI_ERROR_FILE, "from memory");
    for (int i = 0; i < 3; i++) {
        mimi_codes_free(&codes[i]);
        mimi_model_free(models[i]);
    }
}

static void facts(const MimiModel *model) {
    CHECK(strcmp(mimi_model_kind(model), "mimi") == 0 && mimi_model_kind(NULL) == NULL);
    CHECK(mimi_model_sample_rate(model) == 24000 && mimi_model_frame_rate(model) == 12.5);
    CHECK(mimi_model_frame_size(model) == 1920 && mimi_model_delay(model) == 0);
    CHECK(mimi_model_codebooks(model) == CODEBOOKS && mimi_model_codebook_size(model) > 1);
    CHECK(mimi_model_encoder_latent_dim(model) > 0 && mimi_model_decoder_latent_dim(model) > 0);
    CHECK(mimi_model_has_encoder(model) && mimi_model_has_decoder(model) && mimi_model_weight_bytes(model) > 1000000);
    CHECK(mimi_model_frame_size(NULL) == 0 && !mimi_model_has_encoder(NULL));
    CHECK(mimi_version()[0] >= '0');
}

static void clips(const MimiModel *model, const float *pcm, size_t samples, MimiCodes *codes) {
    MimiCodes again = {0};
    MimiLatents latents = {0}, quantized = {0};
    MimiPcm sound = {0}, same = {0};
    OK(mimi_encode(model, pcm, samples, CODEBOOKS, MIMI_PADDING_TRANSFORMERS, codes));
    CHECK(codes->frames == FRAMES && codes->codebooks == CODEBOOKS);
    OK(mimi_encode_latents(model, pcm, samples, MIMI_PADDING_TRANSFORMERS, &latents));
    CHECK(latents.frames == FRAMES && latents.dim == mimi_model_encoder_latent_dim(model));
    OK(mimi_latents_to_codes(model, latents.data, latents.frames, latents.dim, CODEBOOKS, &again));
    CHECK(memcmp(codes->data, again.data, sizeof(uint32_t) * FRAMES * CODEBOOKS) == 0);
    OK(mimi_decode(model, codes->data, codes->frames, CODEBOOKS, &sound));
    OK(mimi_codes_to_latents(model, codes->data, codes->frames, CODEBOOKS, &quantized));
    OK(mimi_decode_latents(model, quantized.data, quantized.frames, quantized.dim, &same));
    CHECK(sound.samples == FRAMES * 1920 && same.samples == sound.samples);
    CHECK(memcmp(sound.data, same.data, sizeof(float) * sound.samples) == 0);

    MimiCodes none = {0};
    float nan = NAN;
    uint32_t large = UINT32_MAX;
    REFUSED(mimi_encode(model, &nan, 1, 1, MIMI_PADDING_MOSHI, &none), MIMI_ERROR_AUDIO, "sample 0");
    REFUSED(mimi_encode(model, pcm, samples, CODEBOOKS + 1, MIMI_PADDING_MOSHI, &none), MIMI_ERROR_CODES, "got 5");
    REFUSED(mimi_encode(model, pcm, samples, 1, 9, &none), MIMI_ERROR_ARGUMENT, "padding");
    REFUSED(mimi_encode(NULL, pcm, samples, 1, 0, &none), MIMI_ERROR_ARGUMENT, "a model");
    REFUSED(mimi_encode(model, NULL, 1, 1, 0, &none), MIMI_ERROR_ARGUMENT, "samples");
    REFUSED(mimi_decode(model, &large, 1, 1, &sound), MIMI_ERROR_CODES, "4294967295");
    REFUSED(mimi_decode(model, &large, SIZE_MAX, 2, &sound), MIMI_ERROR_ARGUMENT, "frames of 2");
    REFUSED(mimi_decode_latents(model, pcm, 1, 1, &sound), MIMI_ERROR_LATENTS, "channels");
    CHECK(none.data == NULL && sound.samples == FRAMES * 1920);
    OK(mimi_encode(model, NULL, 0, 1, 0, &none));
    CHECK(none.data == NULL && none.frames == 0 && none.codebooks == 1);

    mimi_codes_free(&again);
    mimi_codes_free(&again); /* empty by now */
    mimi_codes_free(NULL);
    mimi_latents_free(&latents);
    mimi_latents_free(&quantized);
    mimi_pcm_free(&sound);
    mimi_pcm_free(&same);
    CHECK(again.data == NULL && sound.samples == 0);
}

/* The codes of the clip, given to row 1 of 3 in two pieces, between which the stream is copied, saved and loaded. */
static void encoder_streams(const MimiModel *model, const float *pcm, size_t samples, const MimiCodes *expected) {
    MimiStream *stream = NULL, *copy = NULL, *other = NULL;
    const uint32_t *codes = NULL;
    size_t frames = 9, rows = 0, pending = 0, cut = 4000, second[] = {1}, lengths[] = {1, cut, samples};
    uint64_t seen = 0;
    uint8_t mask[] = {0, 1, 0};
    MimiBytes state = {0};
    OK(mimi_stream_new(model, MIMI_TO_CODES, CODEBOOKS, 3, &stream));
    OK(mimi_stream_rows(stream, &rows));
    OK(mimi_stream_codes(stream, 1, &codes, &frames));
    CHECK(rows == 3 && codes == NULL && frames == 0);

    const float *first[] = {NULL, pcm, pcm};
    OK(mimi_stream_push_pcm(stream, first, lengths));
    OK(mimi_stream_codes(stream, 1, &codes, &frames));
    CHECK(frames == 2 && memcmp(codes, expected->data, sizeof(uint32_t) * 2 * CODEBOOKS) == 0);
    OK(mimi_stream_position(stream, 1, &seen, &pending));
    CHECK(seen == 2 && pending == cut - 2 * 1920);
    OK(mimi_stream_position(stream, 0, &seen, &pending));
    CHECK(seen == 0 && pending == 0);

    OK(mimi_stream_copy(stream, &copy));
    OK(mimi_stream_save(stream, second, 1, &state));
    OK(mimi_stream_new(model, MIMI_TO_CODES, CODEBOOKS, 1, &other));
    OK(mimi_stream_load(other, state.data, state.length, NULL, 0));
    REFUSED(mimi_stream_load(stream, state.data, state.length, NULL, 0), MIMI_ERROR_STREAM, "expected");
    state.data[state.length - 1] ^= 1;
    REFUSED(mimi_stream_load(other, state.data, state.length, NULL, 0), MIMI_ERROR_STREAM, "damaged");
    mimi_bytes_free(&state);

    const float *rest[] = {NULL, pcm + cut, NULL}, *alone[] = {pcm + cut};
    lengths[1] = samples - cut;
    OK(mimi_stream_push_pcm(copy, rest, lengths));
    OK(mimi_stream_flush(copy, mask, MIMI_PADDING_TRANSFORMERS));
    OK(mimi_stream_push_pcm(other, alone, &lengths[1]));
    OK(mimi_stream_flush(other, NULL, MIMI_PADDING_TRANSFORMERS));
    for (int i = 0; i < 2; i++) {
        OK(mimi_stream_codes(i ? other : copy, i ? 0 : 1, &codes, &frames));
        const uint32_t *last = expected->data + (FRAMES - 1) * CODEBOOKS;
        CHECK(frames == 1 && memcmp(codes, last, sizeof(uint32_t) * CODEBOOKS) == 0);
    }
    REFUSED(mimi_stream_push_pcm(copy, rest, lengths), MIMI_ERROR_STREAM, "flush");
    OK(mimi_stream_reset(copy, mask));
    OK(mimi_stream_push_pcm(copy, rest, lengths));
    OK(mimi_stream_reset(copy, NULL));

    const float *pcm_out;
    REFUSED(mimi_stream_pcm(stream, 0, &pcm_out, &frames), MIMI_ERROR_STREAM, "another direction");
    REFUSED(mimi_stream_codes(stream, 3, &codes, &frames), MIMI_ERROR_ARGUMENT, "row 3");
    const uint32_t *no_samples[] = {expected->data, NULL, NULL};
    REFUSED(mimi_stream_push_codes(stream, no_samples, lengths, 1), MIMI_ERROR_STREAM, "expected samples");
    REFUSED(mimi_stream_new(model, 4, 1, 1, &other), MIMI_ERROR_ARGUMENT, "direction");
    REFUSED(mimi_stream_new(model, MIMI_TO_CODES, 1, 0, &other), MIMI_ERROR_STREAM, "session");
    REFUSED(mimi_stream_rows(NULL, &rows), MIMI_ERROR_ARGUMENT, "a stream");
    REFUSED(mimi_stream_copy(stream, NULL), MIMI_ERROR_ARGUMENT, "the copy");
    mimi_stream_free(stream);
    mimi_stream_free(copy);
    mimi_stream_free(other);
    mimi_stream_free(NULL);
}

/* Latents and codes back to samples. */
static void other_streams(const MimiModel *model, const float *pcm, size_t samples, const MimiCodes *codes) {
    MimiStream *to_latents = NULL, *from_codes = NULL, *from_latents = NULL;
    MimiLatents quantized = {0};
    const float *latents, *sound, *same, *in[] = {pcm};
    const uint32_t *given[] = {codes->data};
    size_t frames, length, length_of_same;
    OK(mimi_stream_new(model, MIMI_TO_LATENTS, 0, 1, &to_latents));
    OK(mimi_stream_push_pcm(to_latents, in, &samples));
    OK(mimi_stream_latents(to_latents, 0, &latents, &frames));
    CHECK(frames == FRAMES - 1 && isfinite(latents[0]));

    OK(mimi_stream_new(model, MIMI_FROM_CODES, 0, 1, &from_codes));
    OK(mimi_stream_push_codes(from_codes, given, &codes->frames, CODEBOOKS));
    OK(mimi_stream_pcm(from_codes, 0, &sound, &length));
    OK(mimi_codes_to_latents(model, codes->data, codes->frames, CODEBOOKS, &quantized));
    OK(mimi_stream_new(model, MIMI_FROM_LATENTS, 0, 1, &from_latents));
    in[0] = quantized.data;
    OK(mimi_stream_push_latents(from_latents, in, &quantized.frames, quantized.dim));
    OK(mimi_stream_pcm(from_latents, 0, &same, &length_of_same));
    CHECK(length == FRAMES * 1920 && length_of_same == length && memcmp(sound, same, sizeof(float) * length) == 0);
    mimi_latents_free(&quantized);
    mimi_stream_free(to_latents);
    mimi_stream_free(from_codes);
    mimi_stream_free(from_latents);
}

struct Share {
    const MimiModel *model;
    const float *pcm;
    const MimiCodes *expected;
};

static void *in_a_thread(void *data) {
    struct Share *share = data;
    MimiCodes codes = {0};
    CHECK(mimi_last_error()[0] == '\0'); /* the words of other threads are not ours */
    OK(mimi_encode(share->model, share->pcm, 1920, CODEBOOKS, MIMI_PADDING_TRANSFORMERS, &codes));
    CHECK(memcmp(codes.data, share->expected->data, sizeof(uint32_t) * CODEBOOKS) == 0);
    mimi_codes_free(&codes);
    return NULL;
}

int main(int argc, char **argv) {
    static float pcm[(FRAMES - 1) * 1920 + 700];
    size_t samples = sizeof pcm / sizeof *pcm;
    MimiCodes codes = {0};
    CHECK(argc == 3);
    for (size_t i = 0; i < samples; i++) pcm[i] = 0.3f * sinf(0.05f * (float)i);
    MimiModel *model = load(argv[1]);
    facts(model);
    clips(model, pcm, samples, &codes);
    packed(model, argv[2], pcm, samples, &codes);
    compact(argv[1], argv[2], pcm, samples);
    encoder_streams(model, pcm, samples, &codes);
    other_streams(model, pcm, samples, &codes);
    struct Share share = {model, pcm, &codes};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, in_a_thread, &share) == 0);
    for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    mimi_codes_free(&codes);
    mimi_model_free(model);
    mimi_model_free(NULL);
    return 0;
}
