// Exponentials and what the codecs make of them, a sine, a clamp, and what is done with a sum before it is stored.
//
// The polynomials, and the order of every operation, are those of the CPU's kernels (rust/kernels/src/math.rs): where a
// product is added without rounding there, `fmaf` stands here, and nowhere else.

// The second argument where one of them is not a number, as the CPU's vectors have it: not so `fminf` and `fmaxf`.
__device__ __forceinline__ float least(float a, float b) { return a < b ? a : b; }
__device__ __forceinline__ float greatest(float a, float b) { return a > b ? a : b; }

// 2^n for whole numbers from -126 to 127.
__device__ __forceinline__ float exp2_integer(float n) { return __int_as_float(((int)n + 127) << 23); }

struct ExpParts {
    float power, fraction;
};

// Splits `x` into n ln 2 + r, |r| <= ln 2 / 2, and gives 2^n and e^r - 1.
__device__ __forceinline__ ExpParts exp_parts(float x) {
    x = least(greatest(x, -87.3f), 88.0f);
    float n = rintf(x * 1.44269504088896340736f);
    float r = fmaf(n, -0.6933594f, x);
    r = fmaf(n, 2.1219444e-4f, r);
    float q = 1.3933636e-3f;
    q = fmaf(q, r, 8.36318e-3f);
    q = fmaf(q, r, 4.166646e-2f);
    q = fmaf(q, r, 1.6666577e-1f);
    q = fmaf(q, r, 0.5f);
    return {exp2_integer(n), fmaf(r * r, q, r)};
}

__device__ __forceinline__ float exponential(float x) {
    ExpParts parts = exp_parts(x);
    return fmaf(parts.power, parts.fraction, parts.power);
}

__device__ __forceinline__ float elu(float x) {
    ExpParts parts = exp_parts(x);
    float below = fmaf(parts.power, parts.fraction, parts.power - 1.0f);
    return x > 0.0f ? x : below;
}

__device__ __forceinline__ float gelu_erf(float x) {
    float magnitude = greatest(x, 0.0f - x);
    float half_square = (x * x) * 0.5f;
    float t = 1.0f / fmaf(magnitude, 0.5f * 0.70710678118654752440f, 1.0f);
    float p = -0.05895364f;
    p = fmaf(p, t, 0.2842656f);
    p = fmaf(p, t, -0.48709762f);
    p = fmaf(p, t, 0.27857253f);
    p = fmaf(p, t, -0.027397568f);
    p = fmaf(p, t, 0.20318518f);
    p = fmaf(p, t, 0.24293809f);
    p = fmaf(p, t, 0.28240277f);
    p = fmaf(p, t, 0.28208464f);
    float erfc = (p * t) * exponential(0.0f - half_square);
    return greatest(x, 0.0f) - (magnitude * 0.5f) * erfc;
}

__device__ __forceinline__ float gelu_tanh(float x) {
    float cubic = fmaf((x * x) * x, 0.044715f, x);
    return x / (exponential(cubic * -1.595769f) + 1.0f);
}

__device__ __forceinline__ float silu(float x) { return x / (exponential(0.0f - x) + 1.0f); }

// The nearest value in [-1, 1]; what is not a number stays so.
__device__ __forceinline__ float clamp(float x) { return greatest(-1.0f, least(1.0f, x)); }

// sin(z)^2: in [0, 1] for every finite `z`, not a number for the others.
__device__ __forceinline__ float sin_squared(float z) {
    float n = rintf(z * 0.31830988618379067154f);
    float r = fmaf(n, -3.140625f, z);
    r = fmaf(n, -9.675026e-4f, r);
    r = fmaf(n, -1.509958e-7f, r);
    float square = r * r;
    float q = 2.5923198e-6f;
    q = fmaf(q, square, -1.9803583e-4f);
    q = fmaf(q, square, 8.332985e-3f);
    q = fmaf(q, square, -1.6666657e-1f);
    float sine = fmaf(square * q, r, r);
    return least(1.0f, sine * sine);
}

enum Activation {
    ACTIVATION_NONE = 0,
    ACTIVATION_ELU = 1,
    ACTIVATION_GELU_ERF = 2,
    ACTIVATION_GELU_TANH = 3,
    ACTIVATION_SILU = 4,
    ACTIVATION_CLAMP = 5
};

__device__ __forceinline__ float activate(u32 activation, float x) {
    switch (activation) {
        case ACTIVATION_ELU: return elu(x);
        case ACTIVATION_GELU_ERF: return gelu_erf(x);
        case ACTIVATION_GELU_TANH: return gelu_tanh(x);
        case ACTIVATION_SILU: return silu(x);
        case ACTIVATION_CLAMP: return clamp(x);
        default: return x;
    }
}

// What is done with a sum before it is stored: the residual at the same place, if any, is added, then the activation taken.
__device__ __forceinline__ float finish(float sum, const float* residual, u64 at, u32 activation) {
    return activate(activation, residual ? sum + residual[at] : sum);
}
