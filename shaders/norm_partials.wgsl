// norm_partials: sums of squares of equal chunks, for the norm of the gradients; norm_finish adds them.
//
//   partials[BASE+j] = sum of x[i]^2 over the quads i in [j*WG*TURNS*8, (j+1)*WG*TURNS*8) below COUNT
//
// out: partials (P), a part of them      in: x (COUNT quads)
// dispatch: ceil(COUNT / (WG*TURNS*8)) groups, folded.
//
// Each thread adds at most 4*TURNS*8 squares, the group by a tree: so the rounding error grows with the chunk, not with
// the 1.2e8 values.
//
// uses: group_sum

const WG: u32 = 64u; // spec: threads a group
const TURNS: u32 = 8u; // spec: times 8 quads a thread
const EIGHT: u32 = 8u;
const LANES: u32 = 1u;

alias Sum = f32;

struct Params { COUNT: u32, BASE: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let chunk = wid.y * nwg.x + wid.x;
    let first = chunk * WG * TURNS * EIGHT;
    if first >= p.COUNT { return; } // a group left over by folding, all of it
    var sum = vec4<f32>(0.0);
    for (var t = 0u; t < TURNS; t++) {
        let at = first + t * WG * EIGHT + li;
        for (var j = 0u; j < EIGHT; j++) { // unroll
            let v = select(vec4<f32>(0.0), x[min(at + j * WG, p.COUNT - 1u)], at + j * WG < p.COUNT);
            sum = fma(v, v, sum);
        }
    }
    let total = group_sum(li, dot(sum, vec4<f32>(1.0)));
    if li == 0u { partials[p.BASE + chunk] = total; }
}
