// peak_fma: the rate at which the device multiplies and adds in float32, the limit of every matrix product.
//
// out: out (groups * 64) the sums, so that nothing is optimised away      in: x (1) a factor below 1
// dispatch: any number of groups; each thread does ROUNDS * 512 fused multiply-adds in 8 independent chains of vec4.
//
// uses:

const REPEAT: u32 = 16u;
const ROUNDS: u32 = 64u; // spec: turns of the loop

struct Params { SEED: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
    let s = vec4<f32>(p.SEED + f32(gid.x & 1u) * 1e-7);
    var a0 = vec4<f32>(0.1); var a1 = vec4<f32>(0.2); var a2 = vec4<f32>(0.3); var a3 = vec4<f32>(0.4);
    var a4 = vec4<f32>(0.5); var a5 = vec4<f32>(0.6); var a6 = vec4<f32>(0.7); var a7 = vec4<f32>(0.8);
    for (var r = 0u; r < ROUNDS; r++) {
        for (var i = 0u; i < REPEAT; i++) { // unroll
            a0 = fma(a0, s, s); a1 = fma(a1, s, s); a2 = fma(a2, s, s); a3 = fma(a3, s, s);
            a4 = fma(a4, s, s); a5 = fma(a5, s, s); a6 = fma(a6, s, s); a7 = fma(a7, s, s);
        }
    }
    let sum = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7;
    out[gid.x] = sum.x + sum.y + sum.z + sum.w;
}
