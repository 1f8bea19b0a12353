// Blocks of convolution, bias, ReLU and max pooling on a CPU core: forward and both gradients.
//
// All three are one product of matrices whose left side is gathered by offsets (im2col without the copy):
//
//     out[r][n] += sum over k of in[rows[r] + terms[k]] * right[k][n]
//
//                     rows              terms                  right
//   forward           output pixels     taps x inputs          kernel
//   kernel gradient   taps x inputs     output pixels          output gradient
//   input gradient    input pixels      taps x outputs         kernel, turned about
//
// A core keeps kRows x 2 vectors of `out` in registers while it walks along k (Goto and van de Geijn,
// "Anatomy of High-Performance Matrix Multiplication", 2008). `right` and `out` lie in panels of two vectors'
// width, so that a walk reads memory in order.
//
// Letters: L lanes, B examples, H x W pixels, I channels in, O channels out, h x w taps. Arrays are dense:
// images (L..., B, H, W, I), kernels (L..., h, w, I, O).

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace {

namespace ffi = xla::ffi;
using Index = std::ptrdiff_t;

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kRows = 12;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32, kRows = 6;
#elif defined(__aarch64__)
constexpr int kVectorBytes = 16, kRows = 12;
#else
constexpr int kVectorBytes = 16, kRows = 6;
#endif

template <class T>
struct Of {
  static constexpr int kWidth = kVectorBytes / sizeof(T);  // numbers in a vector
  static constexpr int kPanel = 2 * kWidth;
  using Number = T;
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  using Mask = decltype(std::declval<Vector>() > std::declval<Vector>());
  using Integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  typedef std::uint8_t Bytes __attribute__((vector_size(kWidth)));
};

// Memory need not be aligned: a copy says so, and costs nothing.
template <class V, class T>
V Load(const T* from) {
  V value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class V, class T>
void Store(T* to, V value) {
  std::memcpy(to, &value, sizeof value);
}

// What the call is told of its shapes beside the arrays.
struct Geometry {
  Index down, right;            // strides
  Index top, left;              // padding before the image
  Index rows, columns;          // of the convolution's output
  Index window_h, window_w;     // of the pool
  Index pool_down, pool_right;  // its strides
  Index pool_top, pool_left;    // its padding
  Index pooled_rows, pooled_columns;
  Index relu;
};

constexpr Index kGeometry = sizeof(Geometry) / sizeof(Index);
constexpr Index kGroupPixels = 128;
constexpr Index kTerms = 256;
constexpr std::uint8_t kNone = 255;  // the place of a maximum that ReLU took away

// Panels of `count` rows by `width` numbers: two vectors wide, the last one where that suffices.
template <class T>
struct Panels {
  Index count, width;
  static constexpr Index kWide = Of<T>::kPanel;
  Index number() const { return (width + kWide - 1) / kWide; }
  Index panel_width(Index panel) const {
    return width - panel * kWide > Of<T>::kWidth ? kWide : Of<T>::kWidth;
  }
  Index stride() const { return count * kWide; }
  Index size() const { return number() * stride(); }

  // Calls act(first number of a panel, row, how many numbers are there, their place in the panels).
  template <class Act>
  void Each(Act act) const {
    for (Index panel = 0; panel < number(); ++panel)
      for (Index k = 0, at = panel * kWide, wide = panel_width(panel); k < count; ++k)
        act(at, k, std::min(wide, width - at), panel * stride() + k * wide);
  }
};

// kRows x VECTORS vectors of the product, one panel, added to `start`; see the head of this file.
template <class T, int VECTORS>
void Tile(const T* const* in, const Index* terms, Index count, const T* right, const T* const* start,
          T* const* out) {
  using V = typename Of<T>::Vector;
  constexpr int kWidth = Of<T>::kWidth;
  V sums[kRows][VECTORS];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < VECTORS; ++v) sums[r][v] = Load<V>(start[r] + v * kWidth);
  for (Index k = 0; k < count; ++k) {
    V factors[VECTORS];
    for (int v = 0; v < VECTORS; ++v) factors[v] = Load<V>(right + (k * VECTORS + v) * kWidth);
    const Index term = terms[k];
    for (int r = 0; r < kRows; ++r)
      for (int v = 0; v < VECTORS; ++v) sums[r][v] += in[r][term] * factors[v];
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < VECTORS; ++v) Store<V>(out[r] + v * kWidth, sums[r][v]);
}

// Offsets, of which the first `count` are used.
struct Offsets {
  const Index* data;
  Index count;
  Offsets(const std::vector<Index>& all) : data(all.data()), count(all.size()) {}
  Offsets(const std::vector<Index>& all, Index some) : data(all.data()), count(some) {}
};

// The whole product in panels of rows.count by width. It begins with the row `start`, one of panels of 1, or
// without it with what is in `out` already. `right` is panels of terms.count.
template <class T>
void Product(const T* in, Offsets rows, Offsets terms, const T* right, const T* start, T* out, Index width) {
  const Index R = rows.count, K = terms.count;
  const Panels<T> sums{R, width}, factors{K, width};
  for (Index panel = 0; panel < sums.number(); ++panel) {
    const Index wide = sums.panel_width(panel);
    const auto tile = wide == sums.kWide ? Tile<T, 2> : Tile<T, 1>;
    const T* from = right + panel * factors.stride();
    T* to = out + panel * sums.stride();
    const T *ins[kRows], *starts[kRows];
    T* outs[kRows];
    for (Index k = 0; k < K; k += kTerms)  // a part of the panel that the first cache holds, for all rows
      for (Index first = 0; first < R; first += kRows) {
        for (int r = 0; r < kRows; ++r) {  // rows that only fill up the tile repeat the last one
          const Index row = std::min(first + r, R - 1);
          ins[r] = in + rows.data[row], outs[r] = to + row * wide;
          starts[r] = start && k == 0 ? start + panel * sums.kWide : outs[r];
        }
        tile(ins, terms.data + k, std::min(kTerms, K - k), from + k * wide, starts, outs);
      }
  }
}

// One call, over lanes and groups of their images in turn. A product of a group is large enough to be quick.
template <class T>
class Block {
 public:
  Block(ffi::Span<const std::int64_t> geometry, ffi::Span<const std::int64_t> images,
        ffi::Span<const std::int64_t> kernel) {
    std::memcpy(&g_, geometry.begin(), sizeof g_);
    const auto *x = images.end(), *k = kernel.end();
    B = x[-4], H = x[-3], W = x[-2], I = x[-1];
    h = k[-4], w = k[-3], O = k[-1];
    L = 1;
    for (const auto* p = images.begin(); p != x - 4; ++p) L *= *p;
    PH = std::max((g_.rows - 1) * g_.down + h, g_.top + H);
    PW = std::max((g_.columns - 1) * g_.right + w, g_.left + W);
    plain_ = g_.window_h * g_.window_w == 1 && g_.pool_down * g_.pool_right == 1 && !g_.relu;
    apart_ = g_.window_h <= g_.pool_down && g_.window_w <= g_.pool_right;
    image_ = H * W * I, kernel_ = h * w * I * O, out_ = g_.pooled_rows * g_.pooled_columns * O;
    pixels_ = g_.rows * g_.columns, lines_ = plain_ ? 0 : out_;
    group_ = std::min(B, std::max<Index>(1, kGroupPixels / pixels_));
    FindWindows();
  }

  void Forward(const T* images, const T* kernel, const T* bias, T* out, std::uint8_t* places) const {
    const auto rows = OutputPixels(), terms = Taps(PW, I, I);
    const auto right = Zeros(Panels<T>{h * w * I, O}.size()), to = Zeros(Panels<T>{group_ * pixels_, O}.size());
    const auto start = Zeros(Panels<T>{1, O}.size()), padding = Zeros(group_ * PH * PW * I);
    for (Index lane = 0; lane < L; ++lane, kernel += kernel_, bias += O) {
      Pack(kernel, {h * w * I, O}, right.get());
      Pack(bias, {1, O}, start.get());
      for (Index b = 0, some; b < B; b += some) {
        some = std::min(group_, B - b);
        const Panels<T> sums{some * pixels_, O};
        Product(Padded(images, some, padding.get()), {rows, sums.count}, terms, right.get(), start.get(),
                to.get(), O);
        if (plain_)
          Unpack(to.get(), sums, out);
        else
          for (Index n = 0; n < some; ++n) Pool(to.get(), sums, n, out + n * out_, places + n * out_);
        images += some * image_, out += some * out_, places += some * lines_;
      }
    }
  }

  void KernelGradient(const T* images, const T* gradient, const std::uint8_t* places, T* kernel,
                      T* bias) const {
    const Panels<T> sums{h * w * I, O};
    const auto rows = Taps(PW, I, I), terms = OutputPixels();
    const auto lines = Lines(1, 1, 0, 0, g_.columns);
    const auto right = Zeros(Panels<T>{group_ * pixels_, O}.size()), to = Zeros(sums.size());
    const auto total = Zeros(Panels<T>{1, O}.size()), padding = Zeros(group_ * PH * PW * I);
    for (Index lane = 0; lane < L; ++lane, kernel += kernel_, bias += O) {
      std::fill_n(to.get(), sums.size(), T(0));
      std::fill_n(total.get(), Panels<T>{1, O}.size(), T(0));
      for (Index b = 0, some; b < B; b += some) {
        some = std::min(group_, B - b);
        const Panels<T> factors{some * pixels_, O};
        // Where no windows overlap the same pixels are written each time, of a last, smaller group others.
        if (!apart_ || some < group_) std::fill_n(right.get(), factors.size(), T(0));
        for (Index n = 0; n < some; ++n)
          Unpool(gradient + n * out_, places + n * lines_, lines, n * pixels_, right.get(), factors.stride(), 0,
                 total.get());
        Product<T>(Padded(images, some, padding.get()), rows, {terms, factors.count}, right.get(), nullptr,
                   to.get(), O);
        images += some * image_, gradient += some * out_, places += some * lines_;
      }
      Unpack(to.get(), sums, kernel);
      std::copy_n(total.get(), O, bias);
    }
  }

  void InputGradient(const T* gradient, const std::uint8_t* places, const T* kernel, T* images) const {
    // The output's gradient on a grid as fine as the padded image, with h - 1 and w - 1 zeros around it.
    const Index taps = h * w, grid_w = PW + w - 1, grid_h = PH + h - 1;
    const Index wide = Panels<T>{1, O}.size(), grid_size = grid_h * grid_w * wide;
    const auto lines = Lines(g_.down, g_.right, h - 1, w - 1, grid_w), terms = Taps(grid_w, wide, O);
    std::vector<Index> rows;
    for (Index n = 0; n < group_; ++n)
      for (Index y = 0; y < H; ++y)
        for (Index x = 0; x < W; ++x)
          rows.push_back(n * grid_size + ((y + g_.top) * grid_w + x + g_.left) * wide);
    const auto grid = Zeros(group_ * grid_size), turned = Zeros(kernel_);
    const auto to = Zeros(Panels<T>{group_ * H * W, I}.size());
    const auto right = Zeros(Panels<T>{taps * O, I}.size()), start = Zeros(Panels<T>{1, I}.size());
    for (Index lane = 0; lane < L; ++lane, kernel += kernel_) {
      for (Index tap = 0; tap < taps; ++tap)
        for (Index i = 0; i < I; ++i)
          for (Index o = 0; o < O; ++o)
            turned[((taps - 1 - tap) * O + o) * I + i] = kernel[(tap * I + i) * O + o];
      Pack(turned.get(), {taps * O, I}, right.get());
      for (Index b = 0, some; b < B; b += some) {
        some = std::min(group_, B - b);
        const Panels<T> sums{some * H * W, I};
        if (!apart_) std::fill_n(grid.get(), some * grid_size, T(0));
        for (Index n = 0; n < some; ++n)
          Unpool(gradient + n * out_, places + n * lines_, lines, n * grid_h * grid_w, grid.get(), kPanel, wide,
                 nullptr);
        Product(grid.get(), {rows, sums.count}, terms, right.get(), start.get(), to.get(), I);
        Unpack(to.get(), sums, images);
        images += some * image_, gradient += some * out_, places += some * lines_;
      }
    }
  }

 private:
  using V = typename Of<T>::Vector;
  using Mask = typename Of<T>::Mask;
  using Bytes = typename Of<T>::Bytes;
  using Integer = typename Of<T>::Integer;
  static constexpr Index kWidth = Of<T>::kWidth, kPanel = Of<T>::kPanel;

  // A pixel that a window of the pool sees, and its number in the window.
  struct Tap {
    Index pixel;
    Integer number;
  };

  Geometry g_;
  Index L, B, H, W, I, O, h, w;
  Index PH, PW;                 // the image with the padding that taps reach into
  Index image_, kernel_, out_;  // numbers in one
  Index lines_;                 // places of an image's output; 0 where there are none
  Index pixels_, group_;        // of the convolution's output; images in a group
  bool plain_;                  // no pool and no ReLU
  bool apart_;                  // no two windows see the same pixel
  std::vector<Tap> taps_;       // of all windows, in order
  std::vector<Index> first_;    // of each window in taps_, and the end

  void FindWindows() {
    for (Index y = 0; y < g_.pooled_rows; ++y)
      for (Index x = 0; x < g_.pooled_columns; ++x) {
        first_.push_back(taps_.size());
        for (Index i = 0; i < g_.window_h; ++i)
          for (Index j = 0; j < g_.window_w; ++j) {
            const Index row = y * g_.pool_down - g_.pool_top + i, column = x * g_.pool_right - g_.pool_left + j;
            if (0 <= row && row < g_.rows && 0 <= column && column < g_.columns)
              taps_.push_back({row * g_.columns + column, Integer(i * g_.window_w + j)});
          }
      }
    first_.push_back(taps_.size());
  }

  // Where the kernel's first tap lies under each output pixel of a group.
  std::vector<Index> OutputPixels() const {
    std::vector<Index> found;
    for (Index n = 0; n < group_; ++n)
      for (Index line : Lines(g_.down, g_.right, 0, 0, PW)) found.push_back((n * PH * PW + line) * I);
    return found;
  }

  // The number of each output pixel on a grid of `line` pixels a row.
  std::vector<Index> Lines(Index down, Index right, Index top, Index left, Index line) const {
    std::vector<Index> found;
    for (Index y = 0; y < g_.rows; ++y)
      for (Index x = 0; x < g_.columns; ++x) found.push_back((top + y * down) * line + left + x * right);
    return found;
  }

  // Where the taps' channels lie behind the first, in rows of `line` pixels of `wide` numbers.
  std::vector<Index> Taps(Index line, Index wide, Index channels) const {
    std::vector<Index> found;
    for (Index i = 0; i < h; ++i)
      for (Index j = 0; j < w; ++j)
        for (Index c = 0; c < channels; ++c) found.push_back((i * line + j) * wide + c);
    return found;
  }

  static std::unique_ptr<T[]> Zeros(Index size) { return std::make_unique<T[]>(size); }

  // Images, or their copies in the middle of zeros.
  const T* Padded(const T* images, Index some, T* padding) const {
    if (PH == H && PW == W) return images;
    for (Index n = 0; n < some; ++n)
      for (Index y = 0; y < H; ++y)
        std::copy_n(images + (n * H + y) * W * I, W * I, padding + ((n * PH + y + g_.top) * PW + g_.left) * I);
    return padding;
  }

  // Rows -> panels; what is beyond the width stays as it is.
  static void Pack(const T* from, const Panels<T>& panels, T* to) {
    panels.Each([&](Index at, Index k, Index some, Index place) {
      std::copy_n(from + k * panels.width + at, some, to + place);
    });
  }

  // Panels -> rows.
  static void Unpack(const T* from, const Panels<T>& panels, T* to) {
    panels.Each([&](Index at, Index k, Index some, Index place) {
      std::copy_n(from + place, some, to + k * panels.width + at);
    });
  }

  // The first maximum of each window and its place; kNone where ReLU takes it away.
  void Pool(const T* sums, const Panels<T>& panels, Index image, T* out, std::uint8_t* places) const {
    for (Index c = 0; c < O; c += kWidth) {
      const Index panel = c / kPanel, wide = panels.panel_width(panel), some = std::min(kWidth, O - c);
      const T* from = sums + panel * panels.stride() + image * pixels_ * wide + c % kPanel;
      for (std::size_t window = 0; window + 1 < first_.size(); ++window) {
        const Tap* tap = &taps_[first_[window]];
        const Tap* end = &taps_[0] + first_[window + 1];
        V best = Load<V>(from + tap->pixel * wide);
        Mask place = Mask{} + tap->number;
        while (++tap < end) {
          const V other = Load<V>(from + tap->pixel * wide);
          const Mask larger = (other > best) | (other != other);  // a NaN is the maximum
          best = larger ? other : best;
          place = larger ? Mask{} + tap->number : place;
        }
        if (g_.relu) {
          const Mask none = best <= T(0);
          best = none ? V{} : best;
          place = none ? Mask{} + Integer(kNone) : place;
        }
        Put(best, some, out + window * O + c);
        Put(__builtin_convertvector(place, Bytes), some, places + window * O + c);
      }
    }
  }

  // Pays each window's gradient to the pixel of its maximum, and adds the gradients up in `total`, if given.
  // Pixel p of panel t lies at to + t * panel_stride + (first + lines[p]) * row, or for row = 0 the panel's width.
  void Unpool(const T* gradient, const std::uint8_t* places, const std::vector<Index>& lines, Index first,
              T* to, Index panel_stride, Index row, T* total) const {
    for (Index c = 0; c < O; c += kWidth) {
      const Index panel = c / kPanel, some = std::min(kWidth, O - c);
      const Index wide = row ? row : Panels<T>{1, O}.panel_width(panel);
      T* into = to + panel * panel_stride + first * wide + c % kPanel;
      V sum{};
      for (std::size_t window = 0; window + 1 < first_.size(); ++window) {
        V value = Get<V>(gradient + window * O + c, some);
        if (plain_) {
          Store(into + lines[window] * wide, value);
        } else {
          const auto place = __builtin_convertvector(Get<Bytes>(places + window * O + c, some), Mask);
          value = place == Mask{} + Integer(kNone) ? V{} : value;
          for (const Tap *tap = &taps_[first_[window]], *end = &taps_[0] + first_[window + 1]; tap < end; ++tap) {
            T* pixel = into + lines[tap->pixel] * wide;
            const V paid = place == Mask{} + tap->number ? value : V{};
            Store(pixel, apart_ ? paid : Load<V>(pixel) + paid);
          }
        }
        sum += value;
      }
      if (total) Store(total + c, Load<V>(total + c) + sum);
    }
  }

  // A vector of which only `some` numbers are in memory; the others are zero.
  template <class X, class N>
  static X Get(const N* from, Index some) {
    if (some == kWidth) return Load<X>(from);
    X found{};
    for (Index n = 0; n < some; ++n) found[n] = from[n];
    return found;
  }

  template <class X, class N>
  static void Put(X value, Index some, N* to) {
    if (some == kWidth) return Store(to, value);
    for (Index n = 0; n < some; ++n) to[n] = value[n];
  }
};

template <class Run>
ffi::Error Call(ffi::DataType type, ffi::Span<const std::int64_t> geometry, Run run) {
  if (Index(geometry.size()) != kGeometry) return ffi::Error::InvalidArgument("geometry");
  if (type == ffi::F32) return run(float()), ffi::Error::Success();
  if (type == ffi::F64) return run(double()), ffi::Error::Success();
  return ffi::Error::InvalidArgument("neither float32 nor float64");
}

ffi::Error Forward(ffi::AnyBuffer images, ffi::AnyBuffer kernel, ffi::AnyBuffer bias,
                   ffi::Result<ffi::AnyBuffer> out, ffi::Result<ffi::Buffer<ffi::U8>> places,
                   ffi::Span<const std::int64_t> geometry) {
  return Call(images.element_type(), geometry, [&](auto zero) {
    using T = decltype(zero);
    Block<T>(geometry, images.dimensions(), kernel.dimensions())
        .Forward(images.reinterpret_data<T>(), kernel.reinterpret_data<T>(), bias.reinterpret_data<T>(),
                 out->reinterpret_data<T>(), places->typed_data());
  });
}

ffi::Error KernelGradient(ffi::AnyBuffer images, ffi::AnyBuffer gradient, ffi::Buffer<ffi::U8> places,
                          ffi::Result<ffi::AnyBuffer> kernel, ffi::Result<ffi::AnyBuffer> bias,
                          ffi::Span<const std::int64_t> geometry) {
  return Call(images.element_type(), geometry, [&](auto zero) {
    using T = decltype(zero);
    Block<T>(geometry, images.dimensions(), kernel->dimensions())
        .KernelGradient(images.reinterpret_data<T>(), gradient.reinterpret_data<T>(), places.typed_data(),
                        kernel->reinterpret_data<T>(), bias->reinterpret_data<T>());
  });
}

ffi::Error InputGradient(ffi::AnyBuffer gradient, ffi::Buffer<ffi::U8> places, ffi::AnyBuffer kernel,
                         ffi::Result<ffi::AnyBuffer> images, ffi::Span<const std::int64_t> geometry) {
  return Call(gradient.element_type(), geometry, [&](auto zero) {
    using T = decltype(zero);
    Block<T>(geometry, images->dimensions(), kernel.dimensions())
        .InputGradient(gradient.reinterpret_data<T>(), places.typed_data(), kernel.reinterpret_data<T>(),
                       images->reinterpret_data<T>());
  });
}

}  // namespace

#define ARRAY Arg<ffi::AnyBuffer>()
#define PLACES Arg<ffi::Buffer<ffi::U8>>()
#define GEOMETRY Attr<ffi::Span<const std::int64_t>>("geometry")

XLA_FFI_DEFINE_HANDLER_SYMBOL(block_forward, Forward,
    ffi::Ffi::Bind().ARRAY.ARRAY.ARRAY.Ret<ffi::AnyBuffer>().Ret<ffi::Buffer<ffi::U8>>().GEOMETRY);
XLA_FFI_DEFINE_HANDLER_SYMBOL(block_kernel_gradient, KernelGradient,
    ffi::Ffi::Bind().ARRAY.ARRAY.PLACES.Ret<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>().GEOMETRY);
XLA_FFI_DEFINE_HANDLER_SYMBOL(block_input_gradient, InputGradient,
    ffi::Ffi::Bind().ARRAY.PLACES.ARRAY.Ret<ffi::AnyBuffer>().GEOMETRY);
