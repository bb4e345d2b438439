import protobuf from 'protobufjs/light.js';

/**
 * The part of the ONNX file format that we write and look at (onnx.proto of IR version 8, field numbers as published
 * by the ONNX project). Fields that are not named here are skipped when reading.
 */
const message = (fields: Record<string, [type: string, id: number, rule?: 'repeated' | 'packed']>) => ({
  fields: Object.fromEntries(
    Object.entries(fields).map(([name, [type, id, rule]]) => [
      name,
      {
        type,
        id,
        ...(rule === undefined ? {} : { rule: 'repeated' }),
        ...(rule === 'packed' ? { options: { packed: true } } : {}),
      },
    ]),
  ),
});

const root = protobuf.Root.fromJSON({
  nested: {
    ModelProto: message({
      irVersion: ['int64', 1],
      producerName: ['string', 2],
      producerVersion: ['string', 3],
      domain: ['string', 4],
      modelVersion: ['int64', 5],
      docString: ['string', 6],
      graph: ['GraphProto', 7],
      opsetImport: ['OperatorSetIdProto', 8, 'repeated'],
      metadataProps: ['StringStringEntryProto', 14, 'repeated'],
    }),
    OperatorSetIdProto: message({ domain: ['string', 1], version: ['int64', 2] }),
    StringStringEntryProto: message({ key: ['string', 1], value: ['string', 2] }),
    GraphProto: message({
      node: ['NodeProto', 1, 'repeated'],
      name: ['string', 2],
      initializer: ['TensorProto', 5, 'repeated'],
      docString: ['string', 10],
      input: ['ValueInfoProto', 11, 'repeated'],
      output: ['ValueInfoProto', 12, 'repeated'],
    }),
    NodeProto: message({
      input: ['string', 1, 'repeated'],
      output: ['string', 2, 'repeated'],
      name: ['string', 3],
      opType: ['string', 4],
      attribute: ['AttributeProto', 5, 'repeated'],
      domain: ['string', 7],
    }),
    AttributeProto: message({
      name: ['string', 1],
      f: ['float', 2],
      i: ['int64', 3],
      s: ['bytes', 4],
      floats: ['float', 7, 'repeated'],
      ints: ['int64', 8, 'repeated'],
      strings: ['bytes', 9, 'repeated'],
      type: ['int32', 20],
    }),
    TensorProto: message({
      dims: ['int64', 1, 'repeated'],
      dataType: ['int32', 2],
      name: ['string', 8],
      rawData: ['bytes', 9],
    }),
    ValueInfoProto: message({ name: ['string', 1], type: ['TypeProto', 2], docString: ['string', 3] }),
    TypeProto: message({
      tensorType: ['TensorTypeProto', 1],
      sequenceType: ['SequenceTypeProto', 4],
      mapType: ['MapTypeProto', 5],
    }),
    SequenceTypeProto: message({ elemType: ['TypeProto', 1] }),
    MapTypeProto: message({ keyType: ['int32', 1], valueType: ['TypeProto', 2] }),
    TensorTypeProto: message({ elemType: ['int32', 1], shape: ['TensorShapeProto', 2] }),
    TensorShapeProto: message({ dim: ['DimensionProto', 1, 'repeated'] }),
    DimensionProto: message({ dimValue: ['int64', 1], dimParam: ['string', 2] }),
  },
});

export const modelProto = root.lookupType('ModelProto');

/** TensorProto.DataType. */
export const elementType = { float32: 1, int64: 7 } as const;

/** AttributeProto.AttributeType. */
export const attributeType = { float: 1, int: 2, string: 3, floats: 6, ints: 7, strings: 8 } as const;
