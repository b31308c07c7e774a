// attention_backward_dkv_tiled: the keys' and values' gradients, for GPUs. For one batch row and head, with
// s[t,u] = sum_i q[t,i] * k[u,i] / sqrt(HS), p[t,u] = exp(s[t,u] - lse[t]) and d[t] = sum_i dout[t,i] * out[t,i], t >=
// u:
//
//   dv[u,i] = sum_t p[t,u] * dout[t,i]
//   ds[t,u] = p[t,u] * (sum_i dout[t,i] * v[u,i] - d[t])
//   dk[u,i] = sum_t ds[t,u] * q[t,i] / sqrt(HS)
//
// out: dqkv (N,3C), the keys' and values' columns      in: dout (N,C)  qkv (N,3C)  lse (B,NH,T)  d (B,NH,T)
// dispatch: x: ceil(T / ROWS) groups, y: B*NH.  HS = C/NH, a multiple of 4; WX a multiple of 4; BQ a multiple of 4.
//
// As attention_backward_dq_tiled with keys for queries: four neighbouring threads share two keys, four queries a turn.
//
// uses: store

const HS: u32 = 64u; // spec: channels a head
const BQ: u32 = 8u; // spec: queries a tile
const WX: u32 = 128u; // spec: threads
const ROWS: u32 = WX / 2u;
const HS4: u32 = HS / 4u;
const OWN: u32 = (HS4 + 3u) / 4u; // quads of a row that a thread holds
const LINE: u32 = OWN * 4u; // quads of a row in a tile, zeros past HS4
const TILE: u32 = BQ * LINE;
const PARTS: u32 = WX * 4u;
const FOUR: u32 = 4u;

struct Params { T: u32, C: u32, NH: u32, SCALE: f32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dqkv: array<Quad>;
@group(0) @binding(2) var<storage, read> dout: array<Quad>;
@group(0) @binding(3) var<storage, read> qkv: array<Quad>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> d: array<f32>;

var<workgroup> qs: array<vec4<f32>, TILE>;
var<workgroup> gs: array<vec4<f32>, TILE>; // dout
var<workgroup> part: array<vec4<f32>, PARTS>; // (query of four, thread): s and dp of both keys
var<workgroup> pd: array<vec4<f32>, WX>; // p and ds of both keys

@compute @workgroup_size(WX)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) li: u32) {
    let first = wid.x * ROWS;
    let row = first + li / 4u * 2u;
    let quarter = li % 4u;
    let four = li - quarter;
    let batch = wid.y / p.NH * p.T;
    let c4 = p.C / 4u;
    let o0 = batch * c4 + wid.y % p.NH * HS4;
    let q0 = batch * 3u * c4 + wid.y % p.NH * HS4;
    let k0 = q0 + c4;
    var ka: array<vec4<f32>, OWN>;
    var kb: array<vec4<f32>, OWN>;
    var va: array<vec4<f32>, OWN>;
    var vb: array<vec4<f32>, OWN>;
    for (var c = 0u; c < OWN; c++) { // unroll
        let quad = min(c * 4u + quarter, HS4 - 1u);
        let keep = select(0.0, 1.0, c * 4u + quarter < HS4);
        let at = k0 + min(row, p.T - 1u) * 3u * c4 + quad;
        let next = k0 + min(row + 1u, p.T - 1u) * 3u * c4 + quad;
        ka[c] = unpack4(qkv[at]) * (p.SCALE * keep);
        kb[c] = unpack4(qkv[next]) * (p.SCALE * keep);
        va[c] = unpack4(qkv[at + c4]) * keep;
        vb[c] = unpack4(qkv[next + c4]) * keep;
    }
    var dka: array<vec4<f32>, OWN>;
    var dkb: array<vec4<f32>, OWN>;
    var dva: array<vec4<f32>, OWN>;
    var dvb: array<vec4<f32>, OWN>;
    for (var start = first; start < p.T; start += BQ) {
        workgroupBarrier();
        for (var f = li; f < TILE; f += WX) {
            let c = f % LINE;
            let t = min(start + f / LINE, p.T - 1u);
            let quad = min(c, HS4 - 1u);
            qs[f] = select(vec4<f32>(0.0), unpack4(qkv[q0 + t * 3u * c4 + quad]), c < HS4);
            gs[f] = select(vec4<f32>(0.0), unpack4(dout[o0 + t * c4 + quad]), c < HS4);
        }
        workgroupBarrier();
        for (var j = 0u; j < BQ; j += 4u) {
            for (var n = 0u; n < FOUR; n++) { // unroll
                let at = (j + n) * LINE + quarter;
                var s = vec4<f32>(0.0);
                for (var c = 0u; c < OWN; c++) { // unroll
                    s += vec4<f32>(dot(ka[c], qs[at + c * 4u]), dot(kb[c], qs[at + c * 4u]),
                        dot(va[c], gs[at + c * 4u]), dot(vb[c], gs[at + c * 4u]));
                }
                part[n * WX + li] = s;
            }
            workgroupBarrier();
            let at = quarter * WX + four;
            let s = part[at] + part[at + 1u] + part[at + 2u] + part[at + 3u];
            let t = start + j + quarter;
            let stat = wid.y * p.T + min(t, p.T - 1u);
            let keep = (vec2<u32>(row, row + 1u) <= vec2<u32>(t)) & vec2<bool>(t < p.T);
            let w = select(vec2<f32>(0.0), exp(min(s.xy - lse[stat], vec2<f32>(0.0))), keep);
            pd[li] = vec4<f32>(w, w * (s.zw - d[stat]));
            workgroupBarrier();
            for (var n = 0u; n < FOUR; n++) { // unroll
                let w = pd[four + n];
                for (var c = 0u; c < OWN; c++) { // unroll
                    let at = (j + n) * LINE + c * 4u + quarter;
                    dva[c] = fma(vec4<f32>(w.x), gs[at], dva[c]);
                    dvb[c] = fma(vec4<f32>(w.y), gs[at], dvb[c]);
                    dka[c] = fma(vec4<f32>(w.z), qs[at], dka[c]);
                    dkb[c] = fma(vec4<f32>(w.w), qs[at], dkb[c]);
                }
            }
        }
    }
    for (var c = 0u; c < OWN; c++) { // unroll
        let quad = c * 4u + quarter;
        if quad < HS4 {
            let at = k0 + row * 3u * c4 + quad;
            if row < p.T {
                dqkv[at] = pack4(dka[c] * p.SCALE);
                dqkv[at + c4] = pack4(dva[c]);
            }
            if row + 1u < p.T {
                dqkv[at + 3u * c4] = pack4(dkb[c] * p.SCALE);
                dqkv[at + 4u * c4] = pack4(dvb[c]);
            }
        }
    }
}
