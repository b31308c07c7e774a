// epilogue_bias_residual: out = residual + acc + bias; the residual stream is float32.
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> bias: array<vec4<f32>>; // (OC)

fn epilogue(at: u32, col: u32, acc: vec4<f32>) {
    out[at] = residual[at] + (acc + bias[col]);
}
