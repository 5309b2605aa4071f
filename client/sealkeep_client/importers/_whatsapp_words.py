"""Phrases that WhatsApp writes into an exported chat, in the languages they are known in (spec §7.5).

They only tell the kind of a message, and its file. Where one is missing here, the line is kept as text.
"""

from __future__ import annotations

# In place of a file, on Android.
OMITTED = (
    "Media omitted", "Medien ausgeschlossen", "Médias omis", "Fichier omis", "Multimedia omitido",
    "Archivo omitido", "Mídia oculta", "Mídia omitida", "Ficheiro não revelado", "Media omessi",
    "Media weggelaten", "Без медиафайлов", "Медиафайл не включён", "Medya dahil edilmedi",
    "Pominięto multimedia", "Média vynechány", "Media utelatt", "Media udeladt", "Mediet udeladt",
    "Utelämnad media", "Media jätettiin pois", "Média kihagyva", "Fișier media omis", "Файл без медіа",
    "Media tidak disertakan", "मीडिया के बिना", "تم استبعاد الوسائط", "המדיה הושמטה", "省略多媒体文件", "媒體已略去",
    "忽略多媒體檔", "メディアは含まれていません", "メディアなし", "미디어를 제외함", "미디어 파일을 제외한 내용",
)  # fmt: skip

# In place of a file, on iOS, by what kind of file it was.
IOS_OMITTED = {
    "image": (
        "image omitted", "Bild weggelassen", "image absente", "imagen omitida", "imagem ocultada",
        "imagem omitida", "immagine omessa", "afbeelding weggelaten", "изображение отсутствует",
        "görüntü dahil edilmedi", "bild utelämnad", "圖片已略去", "图片已忽略", "忽略图片",
        "画像は含まれていません", "이미지 생략됨",
    ),
    "round": (
        "video note omitted", "Videonachricht weggelassen", "note vidéo omise", "nota de video omitida",
    ),
    "video": (
        "video omitted", "Video weggelassen", "vidéo absente", "video omitido", "vídeo omitido",
        "vídeo ocultado", "video omesso", "видео отсутствует", "video dahil edilmedi", "影片已略去", "视频已忽略",
        "忽略视频", "動画は含まれていません",
    ),
    "audio": (
        "audio omitted", "Audio weggelassen", "audio omis", "audio omitido", "áudio ocultado", "áudio omitido",
        "audio omesso", "аудиофайл отсутствует", "ses dahil edilmedi", "音訊已略去", "音频已忽略", "忽略音频",
        "音声は含まれていません",
    ),
    "gif": (
        "GIF omitted", "GIF weggelassen", "GIF absente", "GIF omitido", "GIF ocultado", "GIF omessa",
        "GIF отсутствует",
    ),
    "sticker": (
        "sticker omitted", "Sticker weggelassen", "sticker absent", "sticker omis", "sticker omitido",
        "figurinha omitida", "sticker non incluso", "стикер отсутствует", "Çıkartma dahil edilmedi", "貼圖已略去",
        "忽略表情",
    ),
    "document": (
        "document omitted", "Dokument weggelassen", "document manquant", "document omis", "documento omitido",
        "documento omesso", "документ пропущен", "belge dahil edilmedi", "文件已略去", "忽略文件",
    ),
    "contact": (
        "Contact card omitted", "Kontaktkarte ausgelassen", "Fiche contact omise",
        "Tarjeta de contacto omitida", "Cartão do contato omitido", "scheda contatto omessa",
        "контакт отсутствует",
    ),
}  # fmt: skip

# In brackets behind a file's name, on Android.
ATTACHED = (
    "file attached", "Datei angehängt", "fichier joint", "archivo adjunto", "arquivo anexado",
    "ficheiro anexado", "file allegato", "bestand bijgevoegd", "файл добавлен", "dosya ekli", "plik dołączony",
    "soubor přiložen", "fil vedhæftet", "bifogad fil", "liitetiedosto", "fájl csatolva", "fișier atașat",
    "файл додано", "file terlampir", "फ़ाइल जोड़ी गई", "ملف مرفق", "קובץ מצורף", "文件附件", "附件", "檔案已附加",
    "添付ファイル", "ファイル添付", "파일 첨부됨",
)  # fmt: skip

# In angle brackets behind a text.
EDITED = (
    "This message was edited", "Diese Nachricht wurde bearbeitet", "Ce message a été modifié",
    "Se editó este mensaje", "Este mensaje fue editado", "Mensagem editada", "Esta mensagem foi editada",
    "Questo messaggio è stato modificato", "Dit bericht is bewerkt", "Данное сообщение изменено",
    "Сообщение изменено", "Bu mesaj düzenlendi", "此消息已编辑", "此訊息已編輯", "このメッセージは編集されました",
)  # fmt: skip

# In place of a text.
DELETED = (
    "This message was deleted", "You deleted this message", "Diese Nachricht wurde gelöscht",
    "Du hast diese Nachricht gelöscht", "Ce message a été supprimé", "Vous avez supprimé ce message",
    "Se eliminó este mensaje", "Eliminaste este mensaje", "Este mensaje fue eliminado", "Mensagem apagada",
    "Esta mensagem foi apagada", "Você apagou esta mensagem", "Esta mensagem foi eliminada",
    "Questo messaggio è stato eliminato", "Hai eliminato questo messaggio", "Dit bericht is verwijderd",
    "U hebt dit bericht verwijderd", "Данное сообщение удалено", "Вы удалили данное сообщение",
    "Bu mesaj silindi", "Bu mesajı sildiniz", "此消息已删除", "您已删除此消息", "此訊息已刪除",
    "您已刪除此訊息", "このメッセージは削除されました",
)  # fmt: skip

CALLS = (
    "Missed voice call", "Missed video call", "Missed group voice call", "Missed group video call", "Voice call",
    "Video call", "Verpasster Sprachanruf", "Verpasster Videoanruf", "Appel vocal manqué", "Appel vidéo manqué",
    "Llamada perdida", "Videollamada perdida", "Chamada de voz perdida", "Chamada de vídeo perdida",
    "Ligação de voz perdida", "Ligação de vídeo perdida", "Chiamata vocale persa", "Chiamata video persa",
)  # fmt: skip
POLLS = ("POLL", "UMFRAGE", "SONDAGE", "ENCUESTA", "ENQUETE", "SONDAGGIO", "ОПРОС", "投票")
