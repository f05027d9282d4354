"""Teaching by showing: captures, a head that is fitted on the device, and what it answers.

Needs numpy and ONNX Runtime alone: no torch.
"""
