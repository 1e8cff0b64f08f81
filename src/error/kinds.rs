kinds! {
    // What the bytes are instead of a kmodel that we run.
    Empty, Version, "there are no bytes to read a model from",
        "check that the file was copied whole";
    Erased, Version, "erased flash: every byte read is 0xFF",
        "flash the .kmodel (or the .kfpkg that holds it) to this address first";
    Zeros, Version, "only zero bytes, no model",
        "check the flash address, or copy the file again";
    Legacy, Version, "a kmodel of legacy version {0}; this library runs versions 3 and 4",
        "convert the model again with `kmodel compile`";
    Kmodel5, Version, "kmodel v{0}, made by nncase 1.0 or newer; K210 firmware of this kind runs versions 3 and 4",
        "convert the .tflite or .onnx again with `kmodel compile` (or nncase 0.2)";
    UnknownVersion, Version, "kmodel version {0} is not known; this library runs versions 3 and 4",
        "check the flash address; if the file is right, convert the model again with `kmodel compile`";
    ByteSwapped, Version, "a kmodel with its bytes swapped in groups of four, as the original load_flash wants it",
        "load it with load_flash, or use the file as it was before the swap";
    Smodel, Decrypt, "an encrypted model (.smodel), bound to one chip; it cannot be opened here",
        "ask its author for the plain .kmodel";
    Scrambled, Decrypt, "the header is scrambled as some vendors do; it is not a plain kmodel (first word {0})",
        "ask its author for the plain .kmodel, or check the flash address";
    Zip, Version, "a zip archive (.kfpkg, .zip), not a bare model",
        "flash it with kflash, or take the .kmodel out with `kmodel unpack`";
    Tflite, Version, "a TensorFlow Lite model, not a kmodel",
        "compile it first: `kmodel compile MODEL.tflite OUT.kmodel -i tflite`";
    Onnx, Version, "an ONNX model, not a kmodel",
        "compile it first: `kmodel compile MODEL.onnx OUT.kmodel -i onnx`";
    NotAModel, Version, "not a kmodel (first word {0})",
        "check the path or the flash address; the first word of a kmodel is 3 or the letters LDMK";

    // What is wrong inside a kmodel.
    Truncated, Format, "the file ends here, {0} bytes before the end of {what}",
        "copy or flash the file again; it was cut";
    Count, Format, "{what} is {0}, at most {1} is possible",
        "the file is damaged; copy or flash it again";
    Target, Format, "made for target {0}; only 0 (CPU) and 1 (K210) can run here",
        "compile the model again with target k210";
    FirstLayer, FirstLayer, "the first layer takes neither an image nor a vector",
        "only kmodel v3 files that begin with a KPU convolution or a fully connected layer can run";
    UnknownOperator, Format, "operator {0} is not known",
        "compile the model again with `kmodel compile`, or tell us which tool made it";
    Unimplemented, NotImplemented, "{what} exists by name only; no K210 runtime implements it",
        "compile the model again with `kmodel compile`";
    BodySize, Format, "the body of {what} takes {0} bytes, its header says {1}",
        "the file is damaged or made by an unknown compiler; compile the model again";
    OutOfMemoryRange, Format, "{what} ends at byte {0}, its memory has {1}",
        "the file is damaged; copy it again or compile the model again";
    OutOfFile, Format, "{what} ends at byte {0}, the file has {1}",
        "the file is damaged or cut; copy it again";
    WrongMemory, Format, "{what} lies in memory {0}, which this operator cannot use",
        "the file is damaged or made by an unknown compiler; compile the model again";
    WrongDtype, Format, "{what} has element type {0}, the operator wants another",
        "the file is damaged or made by an unknown compiler; compile the model again";
    Misaligned, Format, "{what} begins at byte {0}, floats need a multiple of {1}",
        "the file is damaged or made by an unknown compiler; compile the model again";
    SizeMismatch, Format, "{what} holds {0} bytes, its shape needs {1}",
        "the file is damaged or made by an unknown compiler; compile the model again";
    Overlap, Format, "{what} overlaps what the operator writes",
        "the file is damaged or made by an unknown compiler; compile the model again";
    Field, Format, "{what} is {0}, which is not possible here",
        "the file is damaged or made by an unknown compiler; compile the model again";
    KpuRam, NoMemory, "{what} needs KPU RAM up to byte {0}, the chip has {1}",
        "make the input smaller, or let `kmodel compile` split the layer";

    // What is wrong with a call.
    NoMemory, NoMemory, "{what} needs {0} bytes, {1} are there",
        "use a smaller model or firmware, free other models and frame buffers, or load_flash";
    InputCount, Param, "the model has {1} inputs, input {0} was given",
        "give as many inputs as `kmodel info` lists";
    InputSize, Size, "the model wants {1} values, {0} were given",
        "resize the input to the shape that `kmodel info` prints";
    ImageSize, Size, "the model wants an image of {1}, the image is {0}",
        "resize or crop it first: img.resize(w, h), sensor.set_windowing((w, h))";
    BufferSize, Size, "{what} has {0} bytes, {1} are needed",
        "give as many bytes as the shape and type that `kmodel info` prints";
    NotAnImage, FirstLayer, "the model's input is not an image of 1 or 3 planes",
        "give a list of numbers instead";
    OutputIndex, Index, "the model has {1} outputs, output {0} was asked for",
        "count outputs from 0";
    OutputShape, Size, "w * h * ch is {0}, the output has {1} elements",
        "set_outputs is optional: leave it out, or give the shape that `kmodel info` prints";
    LayerCount, Index, "{0} layers asked for, the model has {1}",
        "give 1 to the number of layers, or 0 for all";
    LayerIndex, Index, "node {0} was asked for, the model has {1}",
        "count nodes from 0";
    Parameter, Param, "{what} is {0}",
        "see the function's page in docs/";
    ModelsFull, ModelsFull, "{0} models are loaded, {1} is the limit",
        "free one with kpu.deinit(task)";

    Fraction, Param, "{what} is not between 0 and 1",
        "give a number between 0 and 1, such as 0.5";
    DetectionIndex, Index, "object {0} was asked for, {1} were found",
        "count objects from 0";
    Null, Param, "{what} is a null pointer",
        "see mpy_bindings/include/maix_kpu.h";
    MisalignedPointer, Param, "{what} begins at address {0}, a multiple of {1} is needed",
        "see mpy_bindings/include/maix_kpu.h";
    NotStarted, Param, "the library has no services yet",
        "call maix_kpu_start first";
    NoService, NotImplemented, "this firmware gives the library no access to {what}",
        "load the model in another way";
    Running, Run, "the model is running",
        "wait until its forward has ended";
    NotLoaded, Param, "there is no such model: it was freed, or never loaded",
        "load it again before using it";
    LayersOfV4, NotImplemented, "the layers of a kmodel v4 have no type numbers that this firmware knows",
        "see `kmodel info` on a PC";
    Allocate, NoMemory, "{0} bytes of memory cannot be had",
        "free other models and frame buffers (gc.collect()), use a smaller model or firmware, or load_flash";

    // What can happen while running.
    Read, Read, "reading {what} failed at byte {0}",
        "check the SD card or the flash";
    OpenFile, Read, "the file cannot be opened",
        "check the path; /sd and /flash are where cards and flash are mounted";
    Write, Read, "writing {what} failed",
        "check that there is room and that the card is not write-protected";
    FlashAddress, Param, "flash address {0} is behind the flash's {1} bytes",
        "give the address where the model was flashed, such as 0x300000";
    Accelerator, Run, "the KPU did not finish within {0} ms",
        "reset the board; if it happens again, run `kmodel check` on the model";
    Dma, Run, "DMA channel {0} did not finish within {1} ms",
        "choose another channel, or -1 to have the CPU copy";
    Interrupted, Run, "interrupted",
        "";
    Busy, Run, "the KPU is in use by another owner",
        "wait until the other forward has ended";

    // What is wrong with the arguments of a vision function.
    OutputCount, Size, "{0} outputs were given, the yolo model has {1}",
        "give the values of every output, in the model's order";
    OutputValues, Size, "the output has {0} values, the yolo layer needs {1}: width * height * anchors * (5 + classes)",
        "check layer_w, layer_h, anchor_num and classes against the output shape that `kmodel info` prints";
    Anchors, Size, "the output has {0} channels, which is not {1} anchors times (5 + classes)",
        "give all anchors of the model, width and height each; `kmodel info` prints the channels";
    Grid, Size, "a yolo layer of {0}x{1} cells is not possible",
        "check the output shape that `kmodel info` prints";
    ClassCount, Size, "one yolo output has {0} classes, the first has {1}",
        "check the number of anchors of each output";
    FeatureLength, Size, "the feature has {0} values, {what} {1}",
        "use features of the same model, and a fea_len no longer than its output";
    PlateFeatures, Size, "the plate model gives {0} values, which do not divide into 7 characters",
        "run the licence plate recognition model first";
    PlateWeights, Size, "the plate weights have {0} bytes, this model needs {1}",
        "load the weights file that belongs to the model, whole";
    PlacesFull, Index, "all {0} places for {what} are taken",
        "make the classifier with more places, or remove one first";
    NoPlace, Index, "there is no place for {what} {0}, only for {1} of them",
        "count from 0, or make the classifier with more places";
    NothingToRemove, Index, "there is no {what} to remove",
        "";
    ClassMissing, Param, "class {0} has no image yet, {1} classes need one each",
        "add an image of every class first: add_class_img";
    NoSample, Param, "there are no samples to learn from",
        "add images to learn from first: add_sample_img";
    ClassifierFile, Format, "{what} of the classifier file is {0}, not {1}",
        "this is no file that classifier.save wrote, or it is damaged; save it again";
    FilePlaces, Size, "the file has {0} {what}, there is room for {1}",
        "leave class_num out, so that it is taken from the file";
    FileLimit, Param, "{what} is {0}, a classifier file holds at most {1}",
        "make the classifier smaller";
}
