// attention_backward_dq_tiled: the queries' gradient, for GPUs. For one batch row and head, with
// s[t,u] = sum_i q[t,i] * k[u,i] / sqrt(HS), p[t,u] = exp(s[t,u] - lse[t]) for u <= t and attention_backward_d's d:
//
//   ds[t,u] = p[t,u] * (sum_i dout[t,i] * v[u,i] - d[t])
//   dq[t,i] = sum_u ds[t,u] * k[u,i] / sqrt(HS)
//
// out: dqkv (N,3C), the queries' columns      in: dout (N,C)  qkv (N,3C)  lse (B,NH,T)  d (B,NH,T)
// dispatch: x: ceil(T / ROWS) groups, y: B*NH.  HS = C/NH, a multiple of 4; WX a multiple of 4; BK a multiple of 4.
//
// Four neighbouring threads share two queries, as in attention_forward_tiled: each sums a quarter of the channels of s
// and dp = sum_i dout*v for four keys; then each finishes one of the four keys, for both queries.
//
// uses: store

const HS: u32 = 64u; // spec: channels a head
const BK: u32 = 8u; // spec: keys a tile
const WX: u32 = 128u; // spec: threads
const ROWS: u32 = WX / 2u;
const HS4: u32 = HS / 4u;
const OWN: u32 = (HS4 + 3u) / 4u; // quads of a row that a thread holds
const LINE: u32 = OWN * 4u; // quads of a row in a tile, zeros past HS4
const TILE: u32 = BK * LINE;
const PARTS: u32 = WX * 4u;
const FOUR: u32 = 4u;

struct Params { T: u32, C: u32, NH: u32, SCALE: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dqkv: array<Quad>;
@group(0) @binding(2) var<storage, read> dout: array<Quad>;
@group(0) @binding(3) var<storage, read> qkv: array<Quad>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> d: array<f32>;

var<workgroup> ks: array<vec4<f32>, TILE>;
var<workgroup> vs: array<vec4<f32>, TILE>;
var<workgroup> part: array<vec4<f32>, PARTS>; // (key of four, thread): s and dp of both queries
var<workgroup> ds: array<vec2<f32>, WX>;

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let first = (nwg.x - 1u - wid.x) * ROWS;
    let end = min(first + ROWS, p.T); // the group's keys
    let row = first + li / 4u * 2u;
    let quarter = li % 4u;
    let batch = wid.y / p.NH * p.T;
    let c4 = p.C / 4u;
    let o0 = batch * c4 + wid.y % p.NH * HS4;
    let q0 = batch * 3u * c4 + wid.y % p.NH * HS4;
    let k0 = q0 + c4;
    let t0 = min(row, p.T - 1u);
    let t1 = min(row + 1u, p.T - 1u);
    var qa: array<vec4<f32>, OWN>;
    var qb: array<vec4<f32>, OWN>;
    var ga: array<vec4<f32>, OWN>; // dout
    var gb: array<vec4<f32>, OWN>;
    for (var c = 0u; c < OWN; c++) { // unroll
        let quad = min(c * 4u + quarter, HS4 - 1u);
        let keep = select(0.0, 1.0, c * 4u + quarter < HS4);
        qa[c] = unpack4(qkv[q0 + t0 * 3u * c4 + quad]) * (p.SCALE * keep);
        qb[c] = unpack4(qkv[q0 + t1 * 3u * c4 + quad]) * (p.SCALE * keep);
        ga[c] = unpack4(dout[o0 + t0 * c4 + quad]) * keep;
        gb[c] = unpack4(dout[o0 + t1 * c4 + quad]) * keep;
    }
    let four = li - quarter;
    let sum = vec2<f32>(d[wid.y * p.T + t0], d[wid.y * p.T + t1]);
    let l = vec2<f32>(lse[wid.y * p.T + t0], lse[wid.y * p.T + t1]);
    var dqa: array<vec4<f32>, OWN>;
    var dqb: array<vec4<f32>, OWN>;
    for (var start = 0u; start < end; start += BK) {
        workgroupBarrier();
        for (var f = li; f < TILE; f += WX) {
            let c = f % LINE;
            let at = k0 + min(start + f / LINE, p.T - 1u) * 3u * c4 + min(c, HS4 - 1u);
            ks[f] = select(vec4<f32>(0.0), unpack4(qkv[at]), c < HS4);
            vs[f] = select(vec4<f32>(0.0), unpack4(qkv[at + c4]), c < HS4);
        }
        workgroupBarrier();
        for (var j = 0u; j < BK; j += 4u) {
            for (var n = 0u; n < FOUR; n++) { // unroll
                let at = (j + n) * LINE + quarter;
                var s = vec4<f32>(0.0);
                for (var c = 0u; c < OWN; c++) { // unroll
                    s += vec4<f32>(dot(qa[c], ks[at + c * 4u]), dot(qb[c], ks[at + c * 4u]),
                        dot(ga[c], vs[at + c * 4u]), dot(gb[c], vs[at + c * 4u]));
                }
                part[n * WX + li] = s;
            }
            workgroupBarrier();
            let at = quarter * WX + four;
            let s = part[at] + part[at + 1u] + part[at + 2u] + part[at + 3u];
            let w = exp(min(s.xy - l, vec2<f32>(0.0))) * (s.zw - sum);
            ds[li] = select(vec2<f32>(0.0), w, vec2<u32>(start + j + quarter) <= vec2<u32>(row, row + 1u));
            workgroupBarrier();
            for (var n = 0u; n < FOUR; n++) { // unroll
                let w = ds[four + n];
                for (var c = 0u; c < OWN; c++) { // unroll
                    let k = ks[(j + n) * LINE + c * 4u + quarter];
                    dqa[c] = fma(vec4<f32>(w.x), k, dqa[c]);
                    dqb[c] = fma(vec4<f32>(w.y), k, dqb[c]);
                }
            }
        }
    }
    for (var c = 0u; c < OWN; c++) { // unroll
        let quad = c * 4u + quarter;
        if quad < HS4 {
            if row < p.T { dqkv[q0 + row * 3u * c4 + quad] = pack4(dqa[c] * p.SCALE); }
            if row + 1u < p.T { dqkv[q0 + (row + 1u) * 3u * c4 + quad] = pack4(dqb[c] * p.SCALE); }
        }
    }
}
