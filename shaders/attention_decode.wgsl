// attention_decode: causal self-attention of each sequence's newest row over its cache. For one sequence and head:
//
//   s[u] = sum_i q[i] * k[u,i] / sqrt(HS)      u <= position
//   out[i] = sum_u exp(s[u]) * v[u,i] / sum_u exp(s[u])
//
// out: out (B,C)      in: qkv (B,3C), of which the queries are read  cache (B,S,2C), a key and a value a row  positions
// (B), below S
// dispatch: B*NH groups, folded.  HS = C/NH, a multiple of 4.
//
// The threads of a group take every WG-th key each, with an online softmax in registers: the maximum m runs along, and
// what was summed under an older one is scaled by exp(old - new). At last the threads' sums are brought to one maximum
// and added in their order, PASS quads of the head at a time. A thread without a key has m = -1e30 and sums of 0, which
// count for nothing. Threads that share keys and then values through workgroup memory, with barriers for each turn,
// took 2 to 3 times as long on lavapipe.
//
// uses: store

const HS: u32 = 64u; // spec: channels a head
const WG: u32 = 32u; // spec: threads
const PASS: u32 = 16u; // spec: quads whose sums workgroup memory holds at a time, a divisor of HS/4
const HS4: u32 = HS / 4u;
const PASSES: u32 = HS4 / PASS;
const SUMS: u32 = PASS * WG;

struct Params { B: u32, S: u32, C: u32, NH: u32, SCALE: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Quad>;
@group(0) @binding(2) var<storage, read> qkv: array<Quad>;
@group(0) @binding(3) var<storage, read> cache: array<Quad>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;

var<workgroup> maxima: array<f32, WG>;
var<workgroup> totals: array<f32, WG>;
var<workgroup> sums: array<vec4<f32>, SUMS>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let group = wid.y * nwg.x + wid.x;
    let b = group / p.NH;
    if b >= p.B { return; } // the whole group
    let end = min(positions[b], p.S - 1u) + 1u;
    let c4 = p.C / 4u;
    let head = group % p.NH * HS4;
    let keys = b * p.S * 2u * c4 + head;
    let values = keys + c4;
    var q: array<vec4<f32>, HS4>;
    for (var c = 0u; c < HS4; c++) { // unroll
        q[c] = unpack4(qkv[b * 3u * c4 + head + c]) * p.SCALE;
    }
    var m = -1e30;
    var l = 0.0;
    var o: array<vec4<f32>, HS4>;
    for (var u = li; u < end; u += WG) {
        let row = u * 2u * c4;
        var products = vec4<f32>(0.0);
        for (var c = 0u; c < HS4; c++) { // unroll
            products = fma(q[c], unpack4(cache[keys + row + c]), products);
        }
        let s = (products.x + products.y) + (products.z + products.w);
        let top = max(m, s);
        let older = exp(m - top);
        let weight = exp(s - top);
        m = top;
        l = l * older + weight;
        for (var c = 0u; c < HS4; c++) { // unroll
            o[c] = fma(vec4<f32>(weight), unpack4(cache[values + row + c]), o[c] * older);
        }
    }
    workgroupBarrier(); // the driver's own zeroing may come late
    maxima[li] = m;
    workgroupBarrier();
    var top = maxima[0];
    for (var j = 1u; j < WG; j++) {
        top = max(top, maxima[j]);
    }
    let older = exp(m - top);
    totals[li] = l * older;
    var total = 0.0;
    for (var n = 0u; n < PASSES; n++) { // unroll
        for (var c = 0u; c < PASS; c++) { // unroll
            sums[c * WG + li] = o[n * PASS + c] * older;
        }
        workgroupBarrier();
        if n == 0u {
            for (var j = 0u; j < WG; j++) {
                total += totals[j];
            }
        }
        for (var c = li; c < PASS; c += WG) {
            var sum = vec4<f32>(0.0);
            for (var j = 0u; j < WG; j++) {
                sum += sums[c * WG + j];
            }
            out[b * c4 + head + n * PASS + c] = pack4(sum / total);
        }
        if n + 1u < PASSES { workgroupBarrier(); }
    }
}
