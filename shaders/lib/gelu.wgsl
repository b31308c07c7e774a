// gelu: the tanh form, 0.5 x (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3).
//
// tanh overflows to NaN on several drivers for large arguments; beyond |u| = 10 it is 1 in float32.
const GELU_S: f32 = 0.7978845608028654;

fn gelu_tanh(x: vec4<f32>) -> vec4<f32> {
    return tanh(clamp(GELU_S * (x + 0.044715 * x * x * x), vec4<f32>(-10.0), vec4<f32>(10.0)));
}

fn gelu(x: vec4<f32>) -> vec4<f32> {
    return 0.5 * x * (1.0 + gelu_tanh(x));
}

fn gelu_grad(x: vec4<f32>) -> vec4<f32> {
    let t = gelu_tanh(x);
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * GELU_S * (1.0 + 3.0 * 0.044715 * x * x);
}
