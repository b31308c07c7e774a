// matmul_tiled: a product of matrices through workgroup memory, finished by an epilogue (bias, GELU, residual, …).
//
//   epilogue(r, c, sum_k a[r,k] * b[k,c])
//
// in: a (ROWS,SUMS)  b (SUMS,COLS), as they are or transposed: see the fragments a_* and b_*
// out, declared by the epilogue: rows of STRIDE, columns [COL, COL+COLS)
// dispatch: x: ceil(COLS / BN) groups, y: ceil(ROWS / BM), BM = WY*TM, BN = WX*TN4*4.  COL % 4 == 0, STRIDE % 4 == 0.
//
// For GPUs: a group keeps BM x BN sums in registers and walks the addends in steps of BK, whose tiles of a and b lie in
// workgroup memory, addends outermost, in quads of neighbouring rows or columns: a thread reads TM/4 + TN4 quads for
// 4*TM*TN4 multiply-adds. Threads load blocks of 4 x 4 values. A thread's quads of columns are WX apart, so that
// neighbours read and store neighbours. Columns are stored in quads, so STRIDE leaves room for COLS rounded up to 4.
//
// uses: store a b epilogue

const TM: u32 = 4u; // spec: rows a thread, a multiple of 4
const TN4: u32 = 1u; // spec: quads of columns a thread
const WX: u32 = 16u; // spec: threads along columns
const WY: u32 = 16u; // spec: threads along rows
const BK: u32 = 16u; // spec: depth of a tile, a multiple of 4
const TM4: u32 = TM / 4u;
const SUMS: u32 = TM * TN4;
const THREADS: u32 = WX * WY;
const BM4: u32 = WY * TM4;
const BN4: u32 = WX * TN4;
const BK4: u32 = BK / 4u;
const AS: u32 = BM4 + 1u; // quads from one addend to the next, one more than needed: a block's stores meet other banks
const BS: u32 = BN4 + 1u;
const AQUADS: u32 = BK * AS;
const BQUADS: u32 = BK * BS;
const ABLOCKS: u32 = BM4 * BK4;
const BBLOCKS: u32 = BN4 * BK4;
const OTHERS: u32 = THREADS - ABLOCKS % THREADS; // b's blocks begin with the threads that a's leave idle

struct Params { ROWS: u32, COLS: u32, SUMS: u32, ASTRIDE: u32, ACOL: u32, STRIDE: u32, COL: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Quad>;
@group(0) @binding(2) var<storage, read> b: array<Quad>;

var<workgroup> ta: array<vec4<f32>, AQUADS>;
var<workgroup> tb: array<vec4<f32>, BQUADS>;

@compute @workgroup_size(WX, WY)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_id) lid: vec3<u32>,
    @builtin(local_invocation_index) li: u32) {
    let row4 = wid.y * BM4;
    let col4 = wid.x * BN4;
    let end = (p.SUMS + 3u) / 4u;
    var acc: array<vec4<f32>, SUMS>;
    for (var q0 = 0u; q0 < end; q0 += BK4) {
        for (var i = li; i < ABLOCKS; i += THREADS) {
            let place = a_place(i, BM4, BK4);
            let q = q0 + place.y;
            let m = block_a((row4 + place.x) * 4u, min(q, end - 1u));
            let inside = vec4<bool>(q < end); // past the end a counts zero
            let to = place.y * 4u * AS + place.x;
            ta[to] = select(vec4<f32>(0.0), m[0u], inside);
            ta[to + AS] = select(vec4<f32>(0.0), m[1u], inside);
            ta[to + 2u * AS] = select(vec4<f32>(0.0), m[2u], inside);
            ta[to + 3u * AS] = select(vec4<f32>(0.0), m[3u], inside);
        }
        for (var i = (li + OTHERS) % THREADS; i < BBLOCKS; i += THREADS) {
            let place = b_place(i, BN4, BK4);
            let n = block_b(col4 + place.x, q0 + place.y);
            let to = place.y * 4u * BS + place.x;
            tb[to] = n[0u];
            tb[to + BS] = n[1u];
            tb[to + 2u * BS] = n[2u];
            tb[to + 3u * BS] = n[3u];
        }
        workgroupBarrier();
        for (var k = 0u; k < BK; k++) { // unroll
            var n: array<vec4<f32>, TN4>;
            for (var j = 0u; j < TN4; j++) { // unroll
                n[j] = tb[k * BS + lid.x + j * WX];
            }
            for (var i = 0u; i < TM4; i++) { // unroll
                let m = ta[k * AS + lid.y * TM4 + i];
                for (var j = 0u; j < TN4; j++) { // unroll
                    acc[i * 4u * TN4 + j] = fma(vec4<f32>(m.x), n[j], acc[i * 4u * TN4 + j]);
                    acc[(i * 4u + 1u) * TN4 + j] = fma(vec4<f32>(m.y), n[j], acc[(i * 4u + 1u) * TN4 + j]);
                    acc[(i * 4u + 2u) * TN4 + j] = fma(vec4<f32>(m.z), n[j], acc[(i * 4u + 2u) * TN4 + j]);
                    acc[(i * 4u + 3u) * TN4 + j] = fma(vec4<f32>(m.w), n[j], acc[(i * 4u + 3u) * TN4 + j]);
                }
            }
        }
        workgroupBarrier(); // before the next step's tiles
    }
    let row = row4 * 4u + lid.y * TM;
    for (var i = 0u; i < TM; i++) { // unroll
        if row + i < p.ROWS {
            for (var j = 0u; j < TN4; j++) { // unroll
                let quad = col4 + lid.x + j * WX;
                if quad * 4u < p.COLS { epilogue(((row + i) * p.STRIDE + p.COL) / 4u + quad, quad, acc[i * TN4 + j]); }
            }
        }
    }
}
