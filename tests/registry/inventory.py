"""The models and boards that the ancestors of this registry published, as their data says them.

Numbers: RAM kB, flash kB, multiply-accumulates, accuracy in per cent (0 where nobody measured), as
published in the TinyML schema's repository; kB are 1000 bytes. Older entries use the first family
of namespaces, newer ones the second.
"""

from __future__ import annotations

MODELS: tuple[tuple[str, float, float, int, float, str, tuple[str, ...]], ...] = (
    ("Hello_World", 1.9, 2.5, 288, 0, "OtherCategory", ("OtherSensor",)),
    ("Squats_Counter", 2.2, 17.0, 3_800, 0, "Classification", ("Accelerometer", "Gyroscope")),
    ("Anomaly_Detection_Autoencoder", 2.8, 4.7, 1_000, 0, "Unsupervised", ("Accelerometer",)),
    ("Move", 2.8, 6.5, 3_800, 0, "Classification", ("Accelerometer",)),
    ("Motion_Trainer_1", 4.0, 18.5, 15_800, 0, "Classification", ("Accelerometer", "Gyroscope")),
    ("Motion_Trainer_2", 4.0, 18.5, 15_800, 0, "Classification", ("Accelerometer", "Gyroscope")),
    ("Mapping_Dance", 4.8, 147.8, 36_500, 0, "Classification", ("Accelerometer", "Gyroscope")),
    ("Voice_Turn", 6.3, 8.0, 26_000, 0, "Classification", ("Microphone",)),
    ("Micro_Speech_1", 8.1, 8.9, 336_000, 82.3, "Classification", ("Microphone",)),
    ("Micro_Speech_2", 8.6, 11.2, 345_000, 84.0, "Classification", ("Microphone",)),
    ("Micro_Speech_3", 9.0, 14.0, 354_000, 86.9, "Classification", ("Microphone",)),
    ("Micro_Speech_4", 9.5, 17.1, 363_000, 89.1, "Classification", ("Microphone",)),
    ("Micro_Speech_5", 10.0, 20.0, 373_000, 91.5, "Classification", ("Microphone",)),
    ("Micro_Speech_6", 10.5, 22.7, 382_000, 93.2, "Classification", ("Microphone",)),
    ("Magic_Wand_2", 12.1, 31.3, 701_000, 0, "Classification", ("Accelerometer",)),
    ("CNN_S_KWS", 15.2, 76.8, 2_500_000, 91.4, "Classification", ("Microphone",)),
    ("Magic_Wand_1", 16.8, 19.6, 62_000, 0, "Classification", ("Accelerometer",)),
    ("Snoring_Guardian", 26.0, 219.9, 2_120_000, 94.6, "Classification", ("Microphone",)),
    ("DS_CNN_S", 32.5, 47.6, 2_660_000, 93.5, "Classification", ("Microphone",)),
    ("Person_Detection", 94.1, 236.0, 7_160_000, 0, "ObjectDetection", ("Camera",)),
    ("Visual_Alarm_Clock", 116.5, 531.6, 7_390_000, 0, "Classification", ("Camera",)),
    ("MicroNet_S_AD", 128.3, 252.8, 18_700_000, 95.5, "Unsupervised", ("Microphone",)),
    ("MicroNet_VWW_3", 207.0, 542.0, 22_600_000, 85.5, "Classification", ("Camera",)),
)
IMU = ("Accelerometer", "Gyroscope", "Magnetometer")
BOARDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("nano_33_ble", 172, 628, (*IMU, "Microphone", "Thermometer")),
    ("tinyml_kit", 187, 785, (*IMU, "Microphone", "Thermometer", "Camera")),
    ("pybadge", 109, 385, ("Accelerometer", "Microphone")),
    ("tflm_kit", 96, 245, ("Accelerometer", "Microphone")),
    ("syntiant", 25, 1883, ("Accelerometer", "Gyroscope", "Microphone")),
    ("ssi_web", 86, 348, ("Camera",)),
    ("ms200", 31, 498, ("Thermometer",)),
)

_OLD = ("http://tinyml-schema.org/networkschema#", "http://tinyml-schema.org/")
_NEW = (
    "https://w3id.org/tinyml-schema/neural-network-schema#",
    "https://w3id.org/tinyml-schema/neural-network-schema/",
)


def _prefixes(old: bool) -> str:
    nnet, base = _OLD if old else _NEW
    return f"""@prefix nnet: <{nnet}> .
@prefix s3ne: <{base}s3n_extend/> .
@prefix sosae: <{base}sosa_extend/> .
@prefix ssne: <{base}ssn_extend/> .
@prefix om: <http://www.ontology-of-units-of-measure.org/resource/om-2/> .
@prefix s3n: <http://w3id.org/s3n/> .
@prefix schema: <{"http" if old else "https"}://schema.org/> .
@prefix ssn: <http://www.w3.org/ns/ssn/> .
@prefix sys: <http://www.w3.org/ns/ssn/systems/> .
"""


def _memory(kind: str, key: str, kilobytes: float) -> str:
    return f"[ a s3ne:{kind} ; schema:{key} {kilobytes} ; schema:unitCode om:kilobyte ]"


def model_turtle(number: int) -> str:
    """One model as its authors would have written it; every second in the older namespaces."""
    name, ram_kb, flash_kb, macs, accuracy, category, sensors = MODELS[number]
    iri = f"<https://example.org/nn/{name}>"
    inputs = "".join(
        f"[] a sosae:{kind} ; ssne:provideInput <https://example.org/nn/{name}/in> .\n"
        for kind in sensors
    )
    ram, flash = _memory("RAM", "minValue", ram_kb), _memory("Flash", "minValue", flash_kb)
    return f"""{_prefixes(number % 2 == 0)}
{iri} a nnet:NeuralNetwork ; schema:name "{name}" ; schema:citation <None> ;
    s3n:hasProcedureFeature [ sys:inCondition {ram} ] , [ sys:inCondition {flash} ] ;
    ssn:hasInput <https://example.org/nn/{name}/in> ; nnet:hasCategory nnet:{category} ;
    nnet:hasMultiplyAccumulateOps {macs} ;
    nnet:hasMetric [ a nnet:Top_1_accuracy ; nnet:hasMetricValue {accuracy} ] ;
    nnet:inputLayer [ nnet:hasIndex 0 ; nnet:hasType nnet:Quantize ;
        nnet:hasQuantization nnet:Int8 ] ;
    nnet:middleLayer [ nnet:hasIndex 1 ; nnet:hasType nnet:DepthwiseConv2D ] ;
    nnet:outputLayer [ nnet:hasIndex 2 ; nnet:hasType nnet:FullyConnected ] .
{inputs}"""


def board_turtle(number: int) -> str:
    """One board in S3N, with the capability in the wrong namespace as the older ones have it."""
    name, ram_kb, flash_kb, sensors = BOARDS[number]
    ram, flash = _memory("RAM", "value", ram_kb), _memory("Flash", "value", flash_kb)
    old = number % 2 == 0
    capability = "s3n:hasSystemCapability" if old else "sys:hasSystemCapability"
    parts = "".join(f" , [ a sosae:{kind} ]" for kind in sensors)
    return f"""{_prefixes(old)}
<https://example.org/board/{name}> a s3n:SmartSensor ; schema:name "{name}" ;
    ssn:hasSubSystem [ a s3n:MicroController ; {capability} [ sys:hasSystemProperty
        {ram} , {flash} ] ]{parts} .
"""
