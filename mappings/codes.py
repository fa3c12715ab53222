"""Every code and system we use. Public codes were each seen in a published source; what has none is a code of our own."""

from mappings.code_table import HL7, LOINC, OURS, SNOMED, UCUM, V3, Codes, Coding, coding, concept, own, own_system, table

__all__ = ["HL7", "LOINC", "OURS", "SNOMED", "UCUM", "V3", "Codes", "Coding", "coding", "concept", "own", "own_system", "table"]

DMD = "https://dmd.nhs.uk"
ATC = "http://www.whocc.no/atc"
ACT = V3 + "ActCode"

NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
ODS_ORGANISATION = "https://fhir.nhs.uk/Id/ods-organization-code"  # sic: with z; the guide's page with s is an error
ODS_SITE = "https://fhir.nhs.uk/Id/ods-site-code"


def snomed(code: str, display: str) -> Coding:
    return coding(SNOMED, code, display)


# --- people and places

ADMINISTRATIVE_GENDER = table(
    "http://hl7.org/fhir/administrative-gender", {"male": "Male", "female": "Female", "other": "Other", "unknown": "Unknown"}
)
NHS_NUMBER_STATUS = table(
    "https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatusEngland",
    {
        "01": "Number present and verified",
        "02": "Number present but not traced",
        "03": "Trace required",
        "04": "Trace attempted - No match or multiple match found",
        "05": "Trace needs to be resolved - (NHS Number or patient detail conflict)",
        "06": "Trace in progress",
        "07": "Number not present and trace not required",
        "08": "Trace postponed (baby under six weeks old)",
    },
)
NAME_USE = table("http://hl7.org/fhir/name-use", {"official": "Official", "usual": "Usual", "nickname": "Nickname", "old": "Old"})
ADDRESS_USE = table("http://hl7.org/fhir/address-use", {"home": "Home", "work": "Work", "temp": "Temporary", "old": "Old / Incorrect"})
CONTACT_SYSTEM = table("http://hl7.org/fhir/contact-point-system", {"phone": "Phone", "email": "Email", "sms": "SMS", "url": "URL"})
CONTACT_USE = table("http://hl7.org/fhir/contact-point-use", {"home": "Home", "work": "Work", "mobile": "Mobile"})
RELATIONSHIP = own(
    "relationship", "Who a person is to the patient",
    {
        "spouse": "Spouse", "partner": "Partner", "parent": "Parent", "child": "Child", "sibling": "Sibling",
        "friend": "Friend", "neighbour": "Neighbour", "carer": "Carer", "other": "Other",
    },
    {
        "spouse": [coding(V3 + "RoleCode", "SPS", "spouse")],
        "partner": [coding(V3 + "RoleCode", "DOMPART", "domestic partner")],
        "parent": [coding(V3 + "RoleCode", "PRN", "parent")],
        "child": [coding(V3 + "RoleCode", "CHILD", "child")],
        "sibling": [coding(V3 + "RoleCode", "SIB", "sibling")],
        "friend": [coding(V3 + "RoleCode", "FRND", "unrelated friend")],
        "neighbour": [coding(V3 + "RoleCode", "NBOR", "neighbor")],
    },
)
EMERGENCY_CONTACT = coding(HL7 + "v2-0131", "C", "Emergency Contact")
REGISTRATION_BODY = {
    "GMC": "https://fhir.hl7.org.uk/Id/gmc-number",
    "NMC": "https://fhir.hl7.org.uk/Id/nmc-number",
    "HCPC": "https://fhir.hl7.org.uk/Id/hcpc-number",
    "GPhC": "https://fhir.hl7.org.uk/Id/gphc-number",
    "BPS": f"{OURS}/Id/bps-number",
    "EMDR-accreditation": f"{OURS}/Id/emdr-accreditation",
}
REGISTRATION_BODIES = table(f"{OURS}/Id/registration-body", {body: body for body in REGISTRATION_BODY}, name="registration bodies")
PRACTITIONER_ROLE = table(
    SNOMED,
    {
        "psychiatrist": ("80584001", "Psychiatrist"),
        "psychotherapist": ("224588003", "Psychotherapist"),
        "mental-health-nurse": ("224563006", "Mental health nurse"),
        "anaesthetist": ("88189002", "Anaesthetist"),
        "clinical-psychologist": ("310191001", "Clinical psychologist"),
        "pharmacist": ("46255001", "Pharmacist"),
        "medical-practitioner": ("158965000", "Medical practitioner"),
        "healthcare-assistant": ("224577009", "Healthcare assistant"),
    },
    name="practitioner roles",
)
PHYSICAL_TYPE = table(HL7 + "location-physical-type", {"si": "Site", "ro": "Room"})

# --- every visit

MODE = table(ACT, {"in-person": ("AMB", "ambulatory"), "video": ("VR", "virtual")}, name="encounter class")
ENCOUNTER_STATUS = "http://hl7.org/fhir/encounter-status"
VISIT_TYPE = own(
    "visit-type", "Kinds of visit on the pathway",
    {
        "screening": "Assessment and screening", "dosing": "Ketamine dosing session",
        "emdr": "EMDR session", "integration": "Integration session",
    },
)
VISIT_REASON = own(
    "visit-reason", "Why a visit was cancelled, missed or ended early",
    {
        "patient-unwell": "Patient unwell", "patient-request": "At the patient's request", "consent-withdrawn": "Consent withdrawn",
        "clinical-decision": "Clinical decision", "adverse-event": "Adverse event", "contraindication-found": "Contraindication found",
        "staff-unavailable": "Staff unavailable", "equipment": "Equipment or supply", "transport": "Transport or escort",
        "not-reached": "Patient could not be reached", "other": "Other",
    },
)
NOT_ATTENDED = coding(own_system("visit-outcome"), "not-attended", "Did not attend")
own("visit-outcome", "What became of a visit", {"not-attended": "Did not attend"})
ATTENDER = coding(V3 + "ParticipationType", "ATND", "attender")
ESCORT = coding(V3 + "ParticipationType", "ESC", "escort")
RECIPIENT = coding(V3 + "ParticipationType", "IRCP", "information recipient")

# --- observations

CATEGORY = {
    name: concept(coding(HL7 + "observation-category", name, display))
    for name, display in (("vital-signs", "Vital Signs"), ("survey", "Survey"), ("exam", "Exam"), ("laboratory", "Laboratory"),
                          ("procedure", "Procedure"), ("social-history", "Social History"), ("therapy", "Therapy"))
}
OBSERVED = own(
    "observation", "What is observed on the pathway and has no public code that we could verify",
    {
        "observation-set": "Set of observations taken together", "pre-dose-checks": "Checks before a dose",
        "discharge-readiness": "Readiness for discharge after sedation", "stability": "Stability of living circumstances",
        "trauma-types": "Types of trauma", "contraindication-check": "Contraindication looked for",
        "background-history": "History relevant to the pathway", "substance-history": "Substance use history",
        "rass": "Richmond Agitation-Sedation Scale", "moaas": "Modified Observer's Assessment of Alertness/Sedation",
        "dissociation": "Dissociation, 0 to 10", "cadss": "Clinician-Administered Dissociative States Scale total",
        "nausea": "Nausea, 0 to 10", "anxiety": "Anxiety, 0 to 10",
        "suds": "Subjective units of disturbance, 0 to 10", "voc": "Validity of cognition, 1 to 7",
        "access": "Access to feeling and memory, 0 to 10", "tolerance": "Tolerance of feeling and memory, 0 to 10",
        "emdr-target": "EMDR target", "emdr-readiness": "Readiness for trauma processing",
        "emdr-session-response": "Response during an EMDR session", "integration-reflection": "Reflection on integration",
    },
)
PART = own(
    "observation-part", "Parts of our observations",
    {
        "fluids-interval": "Time since last fluids", "alcohol-24h": "Alcohol in the last 24 hours",
        "recreational-drugs": "Recreational drugs since the last visit", "escort-confirmed": "Escort confirmed",
        "pregnancy-rechecked": "Pregnancy status checked again", "pregnancy-test-date": "Date of pregnancy test",
        "bp-acceptable": "Blood pressure back to acceptable", "sedation-resolved": "Sedation resolved",
        "dissociation-resolved": "Dissociation resolved", "mobile-unaided": "Walks unaided", "escort-present": "Escort present",
        "advice-given": "Advice given", "no-driving-until": "No driving until",
        "housing": "Housing", "work": "Work", "sleep": "Sleep", "risk-to-self": "Risk to self", "substance": "Substance use",
        "trauma-type": "Type of trauma", "contraindication-level": "Weight of the contraindication", "mitigation": "Mitigation",
        "antidepressant-trials": "Prior antidepressant trials", "psychosis": "History of psychosis", "mania": "History of mania",
        "seizure": "History of seizures", "bladder": "History of bladder symptoms",
        "alliance": "Therapeutic alliance", "medical-clearance": "Medical clearance", "calm-place": "Calm place works",
        "state-shifting": "Can shift state", "dual-attention": "Holds dual attention", "stable-home": "Stable home",
        "not-suicidal": "Not suicidal", "not-self-harming": "Not self-harming", "addiction-controlled": "Addiction controlled",
        "des-ii": "DES-II mean score", "stayed-within-tolerance": "Stayed within tolerance", "body-scan-clear": "Body scan clear",
        "grounding-needed": "Grounding needed", "belief-theme": "Theme of the belief", "target-type": "Past, present or future",
        "target-label": "Pseudonymous label", "target-image": "Image", "negative-cognition": "Negative cognition",
        "positive-cognition": "Positive cognition", "emotions": "Emotions", "body-location": "Location in the body",
        "session-narrative": "Session narrative", "what-shifted": "What shifted",
        "what-felt-newly-possible": "What felt newly possible", "fear-of-losing": "Fear of losing it", "journal": "Integration journal",
    },
)
DATA_ABSENT = HL7 + "data-absent-reason"


def observed(term: str) -> dict[str, object]:
    return concept(OBSERVED.coding(term), text=OBSERVED.coding(term)["display"])


def loinc(code: str, text: str, *also: Coding) -> dict[str, object]:
    """A LOINC code in our words: `text` is ours, and LOINC's own display is left to LOINC."""
    return concept(coding(LOINC, code), *also, text=text)


def part(term: str) -> dict[str, object]:
    return concept(PART.coding(term))


BLOOD_PRESSURE = concept(
    coding(LOINC, "85354-9", "Blood pressure panel with all children optional"), snomed("75367002", "Blood pressure"), text="Blood pressure"
)
SYSTOLIC = concept(coding(LOINC, "8480-6", "Systolic blood pressure"), snomed("271649006", "Systolic blood pressure"), text="Systolic blood pressure")
DIASTOLIC = concept(coding(LOINC, "8462-4", "Diastolic blood pressure"), snomed("271650006", "Diastolic blood pressure"), text="Diastolic blood pressure")
HEART_RATE = concept(coding(LOINC, "8867-4", "Heart rate"), snomed("364075005", "Heart rate"), text="Heart rate")
OXYGEN_SATURATION = concept(
    coding(LOINC, "2708-6", "Oxygen saturation in Arterial blood"), snomed("431314004", "Peripheral oxygen saturation"), text="Oxygen saturation"
)
RESPIRATORY_RATE = concept(coding(LOINC, "9279-1", "Respiratory rate"), snomed("86290005", "Respiratory rate"), text="Respiratory rate")
TEMPERATURE = concept(coding(LOINC, "8310-5", "Body temperature"), text="Body temperature")
BODY_WEIGHT = concept(coding(LOINC, "29463-7", "Body weight"), snomed("27113001", "Body weight"), text="Body weight")
BODY_HEIGHT = concept(coding(LOINC, "8302-2", "Body height"), snomed("1153637007", "Body height"), text="Body height")
VITAL_SIGNS_PANEL = concept(
    coding(LOINC, "85353-1", "Vital signs, weight, height, head circumference, oxygen saturation and BMI panel"), text="Vital signs"
)
ACVPU_CODE = concept(snomed("1104441000000107", "ACVPU (Alert Confusion Voice Pain Unresponsive) scale score"), text="ACVPU")
ACVPU = table(
    SNOMED,
    {
        "alert": ("248234008", "Mentally alert"), "confusion": ("130987000", "Acute confusion"),
        "voice": ("300202002", "Responds to voice"), "pain": ("450847001", "Responds to pain"),
        "unresponsive": ("422768004", "Unresponsive"),
    },
    name="ACVPU",
)

# --- medicines

DRUG = own(
    "drug", "Medicines of the pathway", {"ketamine": "Ketamine", "esketamine": "Esketamine"},
    {
        "ketamine": [snomed("776446001", "Product containing precisely ketamine"), coding(ATC, "N01AX03", "ketamine")],
        "esketamine": [coding(ATC, "N06AX27", "esketamine")],  # no substance code of SNOMED CT could be verified
    },
)
RESCUE_DRUG = own(
    "rescue-drug", "Medicines given for an unwanted effect",
    {
        "ondansetron": "Ondansetron", "cyclizine": "Cyclizine", "metoclopramide": "Metoclopramide", "labetalol": "Labetalol",
        "glyceryl-trinitrate": "Glyceryl trinitrate", "midazolam": "Midazolam", "lorazepam": "Lorazepam", "diazepam": "Diazepam",
        "paracetamol": "Paracetamol", "oxygen": "Oxygen", "other": "Other",
    },
)
PRODUCT = table(
    DMD,
    {
        "36036811000001102": ("36036811000001102", "Ketamine 200mg/20ml solution for injection vials"),
        "36036911000001107": ("36036911000001107", "Ketamine 500mg/10ml solution for injection vials"),
        "36036711000001105": ("36036711000001105", "Ketamine 1g/10ml solution for injection vials"),
        "38019211000001105": ("38019211000001105", "Ketamine 500mg/10ml solution for injection ampoules"),
        "8579511000001104": ("8579511000001104", "Ketamine 50mg/5ml oral solution"),
        "8579311000001105": ("8579311000001105", "Ketamine 250mg/5ml oral solution"),
        "28381611000001106": ("28381611000001106", "Ketamine 5% nasal spray"),
        "38515511000001108": ("38515511000001108", "Esketamine 28mg/0.2ml nasal spray unit dose"),
    },
    name="dm+d products",
)
ROUTE = table(
    SNOMED,
    {
        "IV": ("47625008", "Intravenous route"), "IM": ("78421000", "Intramuscular route"), "SL": ("37839007", "Sublingual route"),
        "PO": ("26643006", "Oral route"), "IN": ("46713006", "Nasal route"), "SC": ("34206005", "Subcutaneous route"),
        "BUC": ("54471007", "Buccal route"),
    },
    name="routes",
)
BODY_SITE = own(
    "body-site", "Where a medicine was given",
    {
        "left-arm": "Left arm", "right-arm": "Right arm", "left-hand": "Left hand", "right-hand": "Right hand",
        "left-deltoid": "Left deltoid", "right-deltoid": "Right deltoid", "left-thigh": "Left thigh", "right-thigh": "Right thigh",
        "left-nostril": "Left nostril", "right-nostril": "Right nostril", "both-nostrils": "Both nostrils", "mouth": "Mouth",
    },
)
ADMINISTRATION_STATUS = table(
    "http://terminology.hl7.org/CodeSystem/medication-admin-status",
    {"in-progress": "In Progress", "completed": "Completed", "stopped": "Stopped", "not-done": "Not Done"},
)
ADMINISTRATION_REASON = own(
    "administration-reason", "Why a dose was stopped or not given",
    {
        "adverse-event": "Adverse event", "raised-blood-pressure": "Raised blood pressure", "patient-request": "At the patient's request",
        "clinical-decision": "Clinical decision", "access-failed": "Access failed", "equipment": "Equipment or supply",
        "not-required": "Not required", "other": "Other",
    },
)
PERFORMED = coding(HL7 + "med-admin-perform-function", "performer", "Performer")
VERIFIED = coding(HL7 + "med-admin-perform-function", "verifier", "Verifier")
WITNESSED = coding(HL7 + "med-admin-perform-function", "witness", "Witness")
ADMINISTRATION_OUTPATIENT = concept(coding(HL7 + "medication-admin-category", "outpatient", "Outpatient"))
ORDERED = concept(coding(HL7 + "dose-rate-type", "ordered", "Ordered"))
CALCULATED = concept(coding(HL7 + "dose-rate-type", "calculated", "Calculated"))

# --- disclosure

DISCLOSURE_CLASS = own(
    "disclosure-class", "Disclosure classes",
    {"C0": "Who, when and where; what safety needs", "C1": "What was done", "C2": "How it went, item by item", "C3": "What was said"},
)
PURPOSE = table(
    V3 + "ActReason",
    {
        "TREAT": "treatment", "ETREAT": "Emergency Treatment", "CAREMGT": "care management", "COC": "coordination of care",
        "HRESCH": "healthcare research", "HOPERAT": "healthcare operations", "PATRQT": "patient requested",
    },
)
