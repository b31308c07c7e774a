// peak_fma: the rate at which the device multiplies and adds in float32, the limit of every matrix product.
//
// out: out (groups * 64) the sums, so that nothing is optimised away
// dispatch: any number of groups; each thread does ROUNDS * REPEAT * CHAINS * 4 multiply-adds in CHAINS independent
// chains of vec4.
//
// How many chains are best depends on the device: few leave it waiting for the last result, many outgrow a CPU's
// registers. On lavapipe the compiler then runs the chains one after the other, at half the rate.
//
// uses:

const CHAINS: u32 = 8u; // spec: vec4 sums a thread
const REPEAT: u32 = 16u;
const ROUNDS: u32 = 64u; // spec: turns of the loop

struct Params { SEED: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
    let s = vec4<f32>(p.SEED + f32(gid.x & 1u) * 1e-7);
    var a: array<vec4<f32>, CHAINS>;
    for (var c = 0u; c < CHAINS; c++) { // unroll
        a[c] = vec4<f32>(0.1 * f32(c + 1u));
    }
    for (var r = 0u; r < ROUNDS; r++) {
        for (var i = 0u; i < REPEAT; i++) { // unroll
            for (var c = 0u; c < CHAINS; c++) { // unroll
                a[c] = fma(a[c], s, s);
            }
        }
    }
    var sum = vec4<f32>();
    for (var c = 0u; c < CHAINS; c++) { // unroll
        sum += a[c];
    }
    out[gid.x] = sum.x + sum.y + sum.z + sum.w;
}
